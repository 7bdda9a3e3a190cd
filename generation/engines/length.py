"""How long a sequence may be: engine.args.max_model_len, or what the model has positions for where that is less.

vLLM refuses the first where it is more than the second, after the engine's start. A preset fits many models, so here
it says the most.
"""

import os
from pathlib import Path
from typing import Any

from store.shards import read_object

POSITIONS = ("max_position_embeddings", "n_positions")  # of config.json, as vLLM reads it
UNSCALED = (None, "default")


def num_positions(model: Path) -> int | None:
    """Return the positions of a model; None where its config.json does not say, or scales them."""
    shape = read_object(model / "config.json")
    scaling = shape.get("rope_parameters") or shape.get("rope_scaling") or {}
    scaled = not isinstance(scaling, dict) or scaling.get("rope_type", scaling.get("type")) not in UNSCALED
    if scaled or "model_max_length" in shape or os.environ.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN"):
        return None
    return min((shape[key] for key in POSITIONS if isinstance(shape.get(key), int)), default=None)


def fitted(args: dict[str, Any], model: Path) -> dict[str, Any]:
    """Return engine.args with a max_model_len that the model has positions for."""
    asked, most = args.get("max_model_len"), num_positions(model)
    if not isinstance(asked, int) or most is None or asked <= most:
        return args
    return args | {"max_model_len": most}
