"""SFT rows: the kept corrections as prompt and completion, readable for any trainer, and as the sampled tokens."""

from typing import Any

import pyarrow as pa

from data.schemas import SFT
from filtering.join import Joined


def to_table(joined: Joined) -> pa.Table:
    """One row per pair of `joined`: its prompt, its correction as the one assistant turn, and exactly the ids that were
    sampled, prompt_token_ids + token_ids; completion_mask is 1 on the latter, the stop token included."""
    prompts = joined.corrections.select(["prompt", "prompt_token_ids"]).take(pa.array(joined.prompt_rows)).to_pylist()
    texts = joined.corrections.select(["text", "token_ids"]).take(pa.array(joined.correction_rows)).to_pylist()
    return pa.Table.from_pylist(list(map(_row, joined.pair_ids(), prompts, texts)), schema=SFT)


def _row(key: tuple[str, int, int], prompt: dict[str, Any], completion: dict[str, Any]) -> dict[str, Any]:
    prompt_ids, completion_ids = prompt["prompt_token_ids"], completion["token_ids"]
    return {
        "question_id": key[0],
        "init_index": key[1],
        "corr_index": key[2],
        "prompt": prompt["prompt"],
        "completion": [{"role": "assistant", "content": completion["text"]}],
        "input_ids": prompt_ids + completion_ids,
        "completion_mask": [0] * len(prompt_ids) + [1] * len(completion_ids),
    }
