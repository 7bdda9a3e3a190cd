"""Model folders: what rows have to fit, and a trained model laid out as its base is.

A published checkpoint is its base with other numbers in the same tensors: configuration, tokenizer and chat template
are copied byte for byte, every tensor keeps its file, name, shape and dtype. So M_n is prompted and stopped exactly
as M_0 is, and vLLM loads it wherever it loads M_0.
"""

import json
import shutil
from pathlib import Path

import torch
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from store.checkpoints import describe_folder
from store.errors import TrainingDiverged


def stop_token_ids(folder: Path) -> frozenset[int]:
    """The ids that end a completion: the tokenizer's eos token and those in generation_config.json."""
    path = folder / "generation_config.json"
    listed = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id") if path.is_file() else None
    ids = {AutoTokenizer.from_pretrained(folder).eos_token_id, *(listed if isinstance(listed, list) else [listed])}
    return frozenset(ids - {None})


def sizes(folder: Path) -> tuple[int, int]:
    """(vocabulary size, most tokens in a sequence) of the model."""
    config = AutoConfig.from_pretrained(folder).get_text_config()
    return config.vocab_size, config.max_position_embeddings


def load_trained(folder: Path, base: Path) -> PreTrainedModel:
    """The model the trainer saved in `folder`, in float32; an adapter is merged into `base`."""
    if not (folder / "adapter_config.json").exists():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, use_safetensors=True)
    return PeftModel.from_pretrained(model, str(folder)).merge_and_unload()


def write_folder(trained: Path, base: Path, target: Path) -> None:
    """Lay out what the trainer saved in `trained` as `base` is, in the folder `target`, made anew.

    Raises TrainingDiverged for a tensor with a NaN or an infinity.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    state = load_trained(trained, base).state_dict()
    for name in describe_folder(base):
        if name.endswith(".safetensors"):
            _write_tensors(state, base / name, target / name)
        elif not name.startswith("README"):  # the base's card describes the base
            shutil.copyfile(base / name, target / name)


def _write_tensors(state: dict[str, torch.Tensor], base: Path, target: Path) -> None:
    tensors = {}
    with safe_open(base, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 (not a dict)
            old, new = file.get_tensor(name), state[name]
            assert old.shape == new.shape, f"{base}: {name} was {tuple(old.shape)}, is {tuple(new.shape)}"
            if not new.isfinite().all():
                raise TrainingDiverged(
                    f"the trained tensor {name} holds NaN or infinity, nothing was published: lower "
                    "training.args.learning_rate"
                )
            tensors[name] = new.to(dtype=old.dtype, copy=True)  # tied tensors would share memory otherwise
        save_file(tensors, target, metadata=file.metadata())
