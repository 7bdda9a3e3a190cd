"""A family's model folder with random weights: its class, its tokenizer and template, two layers of 64 numbers."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

from benchmarks.models.families import TINY, Family
from benchmarks.models.vocabularies import published_template

EVERY = 12  # one in so many tokens ends an answer as well: a random model would come to a chat's own end at random only
SHARE = 6  # one in so many tokens is a frequent one


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
    for content in family.frequent:
        make_frequent(model, ids_of(folder)[content])
    model.save_pretrained(folder)
    stops = {"eos_token_id": stop_ids(family, folder)}
    (folder / "generation_config.json").write_text(json.dumps(stops), encoding="utf-8")
    return folder


def make_frequent(model: Any, token: int) -> None:
    """Give a token a chance of one in SHARE at every place: by a component of the hidden state that is the same for all
    tokens, and that its row of an LM head of its own looks at alone."""
    import torch

    with torch.no_grad():
        embeddings, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        embeddings[:, 0] += 1
        head[:, 0] = 0
        head[token, 0] = math.log(len(head) / SHARE) / math.sqrt(head.shape[1])


def ids_of(folder: Path) -> dict[str, int]:
    """Return the id of each token by its spelling."""
    spec = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    return dict(spec["model"]["vocab"]) | {token["content"]: token["id"] for token in spec["added_tokens"]}


def stop_ids(family: Family, folder: Path) -> list[int]:
    """Return the family's own stop tokens, and some of the others."""
    ids, spec = ids_of(folder), json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    own = {ids[content] for content in family.stops}
    added = {token["id"] for token in spec["added_tokens"]}
    return sorted(own | set(range(300, family.config["vocab_size"] - 64, EVERY)) - (added - own))
