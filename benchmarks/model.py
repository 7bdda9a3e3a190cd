"""Which model is measured: the CPU default, or the shape of Qwen2.5-1.5B with random weights if that is unavailable."""

import json
import shutil
from pathlib import Path

import yaml

from benchmarks.place import ROOT, Place
from conf.schema import Model
from store.downloads import cache_folder
from store.errors import ConfigError

QWEN = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 1536, "intermediate_size": 8960,
    "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2, "vocab_size": 151936,
    "max_position_embeddings": 32768, "rope_theta": 1e6, "rms_norm_eps": 1e-6, "tie_word_embeddings": True,
    "bos_token_id": 151643, "eos_token_id": 151645, "torch_dtype": "bfloat16",
}  # fmt: skip


def model_settings(place: Place) -> list[str]:
    """Return the override that names the model; none on CPU, where the preset's own can always be had."""
    if place.size.device == "cpu":
        return []
    from training.base_model.__main__ import obtain

    preset = yaml.safe_load((ROOT / "conf" / "model" / "qwen2.5-1.5b.yaml").read_text(encoding="utf-8"))
    try:
        return [f"model.path={obtain(Model.model_validate(preset), recorded=None)[0].resolve()}"]
    except ConfigError:
        return [f"model.path={random_weights(place.folder / 'model')}"]


def random_weights(folder: Path) -> Path:
    """Return a model folder of Qwen2.5-1.5B's shape. Its tokenizer is the one that tests/generation fetches."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = cache_folder() / "tokenizers" / "qwen2.5"
    if not tokenizer.is_dir():
        raise ConfigError(
            f"{tokenizer} is missing: run `.venv/bin/python -m pytest tests/generation/test_tokens_once.py` once, "
            "where there is a network, or make the model itself available"
        )
    shutil.copytree(tokenizer, folder)
    (folder / "config.json").write_text(json.dumps(QWEN), encoding="utf-8")
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(folder)
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)  # the GPU stays untouched
    return folder
