"""What a trained model lost on its way: whether it still ends its answers, and what rounding its weights costs.

A model that lost its stop token would fill every answer's budget.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from conf.schema import StopCheck
from store.errors import TrainingDiverged
from store.machine import model_tensors
from training.model_folder import load_trained

ROUNDING_ROWS = 16  # whose loss is compared
FLOAT32 = "F32"


def require_stops(
    folder: Path, rows: pa.Table, stop_token_ids: frozenset[int], check: StopCheck, device: str
) -> float | None:
    """Answer some of the rows' prompts greedily with the model in `folder`; the share that ends by itself.

    Raises TrainingDiverged when it is below check.min_rate; None when no prompt is asked for.
    """
    if check.num_prompts == 0:
        return None
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").to(device).eval()
    model.generation_config = GenerationConfig()  # the folder's would fill in what `greedy` leaves open
    prompts = training_prompts(rows, check.num_prompts)
    rate = stop_rate(model, prompts, stop_token_ids, check.max_tokens)
    if rate < check.min_rate:
        raise TrainingDiverged(
            f"the trained model ends {rate:.0%} of {len(prompts)} training prompts within {check.max_tokens} tokens, "
            f"training.stop_check.min_rate={check.min_rate} asks for more; nothing was published. Start another run "
            "with a lower training.args.learning_rate, or lower min_rate if answers are meant to be that long"
        )
    return rate


def rounding_cost(trained: Path, base: Path, published: Path, rows: pa.Table, device: str) -> dict[str, Any] | None:
    """Return the loss of some training rows before and after the weights got the dtype they are published in.

    None where that is float32, as the trainer's are. The loss is computed in float32 both times.
    """
    dtypes = sorted({tensor.dtype for tensor in model_tensors(published)} - {FLOAT32})
    if not dtypes:
        return None
    some = spread(rows, ROUNDING_ROWS)
    before = completion_loss(load_trained(trained, base).to(device).eval(), some)
    rounded = AutoModelForCausalLM.from_pretrained(published, dtype=torch.float32).to(device).eval()
    return {
        "dtype": "/".join(dtypes),
        "rows": len(some),
        "loss_float32": before,
        "loss_published": completion_loss(rounded, some),
    }


def completion_loss(model: PreTrainedModel, rows: list[dict[str, Any]]) -> float:
    """Mean of -log p over the trained tokens of the rows."""
    total, number = 0.0, 0
    with torch.inference_mode():
        for row in rows:  # one by one: no padding, and the logits of one row alone
            ids = torch.tensor([row["input_ids"]], device=model.device)
            start = row["completion_mask"].index(1)
            logits = model(ids, use_cache=False).logits[0, start - 1 : -1].float()
            total += float(cross_entropy(logits, ids[0, start:], reduction="sum"))
            number += ids.shape[1] - start
    return total / number


def training_prompts(rows: pa.Table, number: int) -> list[list[int]]:
    """Return the prompts of at most `number` rows, evenly spread over all of them."""
    return [row["input_ids"][: row["completion_mask"].index(1)] for row in spread(rows, number)]


def spread(rows: pa.Table, number: int) -> list[dict[str, Any]]:
    """Token ids and masks of at most `number` rows, evenly spread over all of them."""
    chosen = np.unique(np.linspace(0, rows.num_rows - 1, number).astype(int))
    return rows.take(chosen).select(["input_ids", "completion_mask"]).to_pylist()


def stop_rate(model: Any, prompts: list[list[int]], stop_token_ids: frozenset[int], max_tokens: int) -> float:
    """Return the share of prompts whose greedy answer has a stop token among its first max_tokens tokens."""
    stops = torch.tensor(sorted(stop_token_ids), device=model.device)
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), sorted(stop_token_ids)[0])
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):  # padded on the left: answers begin in one column
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    greedy = GenerationConfig(
        do_sample=False, max_new_tokens=max_tokens, eos_token_id=stops.tolist(), pad_token_id=int(stops[0])
    )
    with torch.inference_mode():
        answers = model.generate(ids.to(model.device), attention_mask=mask.to(model.device), generation_config=greedy)
    return float(torch.isin(answers[:, width:], stops).any(dim=1).float().mean())
