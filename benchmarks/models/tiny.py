"""A family's model folder with random weights: its class, its tokenizer and template, two layers of 64 numbers."""

import json
import shutil
from pathlib import Path

from benchmarks.models.families import TINY, Family
from benchmarks.models.vocabularies import published_template

EVERY = 12  # one in so many tokens ends an answer as well: a random model would come to a chat's own end at random only


def make_model(family: Family, folder: Path, cache: Path) -> Path:
    """Fill `folder` with the model, in bfloat16, and return it. Unavailable where a package cannot be had."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    template = published_template(family.template, cache) if family.template else None
    family.vocabulary.write(folder, template, cache)
    torch.manual_seed(0)
    config = AutoConfig.for_model(**({"pad_token_id": None} | TINY | family.config))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    stops = {"eos_token_id": stop_ids(family, folder)}
    (folder / "generation_config.json").write_text(json.dumps(stops), encoding="utf-8")
    return folder


def stop_ids(family: Family, folder: Path) -> list[int]:
    """Return the family's own stop tokens, and some of the others."""
    spec = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    ids = dict(spec["model"]["vocab"]) | {token["content"]: token["id"] for token in spec["added_tokens"]}
    own = {ids[content] for content in family.stops}
    added = {token["id"] for token in spec["added_tokens"]}
    return sorted(own | set(range(300, family.config["vocab_size"] - 64, EVERY)) - (added - own))
