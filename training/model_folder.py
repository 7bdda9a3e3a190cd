"""Model folders: what rows have to fit, and a trained model laid out as its base is.

A published checkpoint is its base with other numbers in the same tensors: configuration, tokenizer and chat template
are copied byte for byte, every tensor keeps its file, name and shape, and its dtype unless float32 was asked for. So
M_n is prompted and stopped exactly as M_0 is, and vLLM loads it wherever it loads M_0.
"""

import json
import shutil
from pathlib import Path

import torch
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from store.checkpoints import describe_folder
from store.errors import ConfigError, TrainingDiverged
from store.tensors import read_tensors

NUM_NAMED = 3  # tensors that a message names


def sizes(folder: Path) -> tuple[int, int]:
    """(vocabulary size, most tokens in a sequence) of the model."""
    config = AutoConfig.from_pretrained(folder).get_text_config()
    return config.vocab_size, config.max_position_embeddings


def load_base(folder: Path) -> PreTrainedModel:
    """Return the model in float32. ConfigError when its files lack a parameter, which would begin at random.

    Its generation settings are the library's own: the folder's may be such that transformers refuses to save them.
    """
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True
    )
    if missing := sorted(info["missing_keys"]):
        raise ConfigError(
            f"{folder} has no weights for {listing(missing)}, which the model of its config.json has: they would begin "
            "at random. Use a complete model, or fix its config.json (tie_word_embeddings, say)"
        )
    model.generation_config = GenerationConfig()
    return model


def load_trained(folder: Path, base: Path) -> PreTrainedModel:
    """Return the model the trainer saved in `folder`, in float32; an adapter is merged into `base`."""
    if not (folder / "adapter_config.json").exists():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return PeftModel.from_pretrained(load_base(base), str(folder)).merge_and_unload()


def written_tensors(model: PreTrainedModel, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a model's tensors under the names that save_pretrained writes; tied ones under each name."""
    return revert_weight_conversion(model, state)


def name_in_files(name: str, written: dict[str, torch.Tensor], prefix: str) -> str | None:
    """Which written tensor is the base's tensor `name`: files of a model without LM head leave the prefix out."""
    return next((found for found in (name, f"{prefix}.{name}") if found in written), None)


def check_names(model: PreTrainedModel, base: Path) -> list[str]:
    """Return the tensors in the base's files that are no part of the loaded model, and will be copied as they are.

    ConfigError when a parameter of the model would find no place in the base's files, or one of another shape: told
    before training, since nothing of it could be published.
    """
    state = {name: tensor.to("meta") for name, tensor in model.state_dict().items()}
    written = written_tensors(model, state)
    ties = model.all_tied_weights_keys
    tied = written_tensors(model, {name: state[name] for name in {*ties, *ties.values()} & state.keys()}).keys()
    places = {
        name: (name_in_files(name, written, model.base_model_prefix), tensor.shape)
        for path in sorted(base.glob("*.safetensors"))
        for name, tensor in read_tensors(path).items()
    }
    used = {found for found, _ in places.values()}
    lost = sorted(written.keys() - used - (tied if tied & used else set()))
    reshaped = sorted(name for name, (found, shape) in places.items() if found and tuple(written[found].shape) != shape)
    if lost or reshaped:
        raise ConfigError(
            f"{base}: a trained model of this kind could not be laid out as its base is. "
            f"Without a place in its files: {listing(lost)}; of another shape: {listing(reshaped)}. Save it again with "
            "transformers' save_pretrained and give that folder, or use another model"
        )
    return sorted(name for name, (found, _) in places.items() if found is None)


def listing(names: list[str]) -> str:
    """Return 'a, b, c and 5 more', or 'none'."""
    more = f" and {len(names) - NUM_NAMED:,} more" if len(names) > NUM_NAMED else ""
    return ", ".join(names[:NUM_NAMED]) + more or "none"


def write_folder(trained: Path, base: Path, target: Path, dtype: str = "base") -> None:
    """Lay out what the trainer saved in `trained` as `base` is, in the folder `target`, made from nothing.

    dtype: "base" or "float32". Raises TrainingDiverged for a tensor with a NaN or an infinity.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    model = load_trained(trained, base)
    check_tied(model)
    written = written_tensors(model, model.state_dict())
    for name in describe_folder(base):
        if name.endswith(".safetensors"):
            _write_tensors(written, model.base_model_prefix, base / name, target / name, dtype)
        elif not name.startswith("README"):  # the base's card describes the base
            shutil.copyfile(base / name, target / name)
    if dtype == "float32":
        _say_float32(target)


def check_tied(model: PreTrainedModel) -> None:
    """TrainingDiverged when a model that is to have one matrix for embeddings and LM head was left with two."""
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    if model.all_tied_weights_keys and head is not None and not torch.equal(head.weight, embeddings.weight):
        raise TrainingDiverged(
            "the trained LM head and embeddings differ, and this model has one matrix for both: nothing was published. "
            "Start another run whose peft.args train neither, or modules_to_save=[embed_tokens]"
        )


def _write_tensors(written: dict[str, torch.Tensor], prefix: str, base: Path, target: Path, dtype: str) -> None:
    tensors = {}
    with safe_open(base, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 (not a dict)
            old, found = file.get_tensor(name), name_in_files(name, written, prefix)
            if found is None:  # no part of the trained model: check_names has told of it
                tensors[name] = old
                continue
            new = written[found]
            if not new.isfinite().all():
                raise TrainingDiverged(
                    f"the trained tensor {name} holds NaN or infinity, nothing was published: lower "
                    "training.args.learning_rate"
                )
            # copied, since tied tensors would share memory otherwise
            tensors[name] = new.to(dtype=old.dtype if dtype == "base" else torch.float32, copy=True).contiguous()
        save_file(tensors, target, metadata=file.metadata())


def _say_float32(folder: Path) -> None:
    """Let config.json name the dtype that the weights have now, and the index their size."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for section in (config, *(value for value in config.values() if isinstance(value, dict))):
        for key in {"dtype", "torch_dtype"} & section.keys():
            section[key] = "float32"
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    index = folder / "model.safetensors.index.json"
    if index.exists():
        content = json.loads(index.read_text(encoding="utf-8"))
        sizes = (t.stop - t.start for path in folder.glob("*.safetensors") for t in read_tensors(path).values())
        content.setdefault("metadata", {})["total_size"] = sum(sizes)
        index.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
