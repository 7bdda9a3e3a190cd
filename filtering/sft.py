"""SFT rows: the kept corrections as prompt and completion, readable for any trainer, and as the sampled tokens."""

import pyarrow as pa

from data.schemas import SFT
from filtering.join import Joined


def to_table(joined: Joined) -> pa.Table:
    """One row per pair of `joined`: its prompt, its correction as the one assistant turn, and exactly the ids that were
    sampled, prompt_token_ids + token_ids; completion_mask is 1 on the latter, the stop token included."""
    prompts = joined.corrections.take(pa.array(joined.prompt_rows)).select(["question_id", "prompt", "prompt_token_ids"])
    completions = joined.corrections.take(pa.array(joined.correction_rows)).select(["text", "token_ids"])
    keys = zip(joined.init_index.tolist(), joined.corr_index.tolist(), strict=True)
    rows = zip(prompts.to_pylist(), completions.to_pylist(), keys, strict=True)
    return pa.Table.from_pylist([_row(prompt, completion, *key) for prompt, completion, key in rows], schema=SFT)


def _row(prompt: dict, completion: dict, init_index: int, corr_index: int) -> dict:
    prompt_ids, completion_ids = prompt["prompt_token_ids"], completion["token_ids"]
    return {
        "question_id": prompt["question_id"],
        "init_index": init_index,
        "corr_index": corr_index,
        "prompt": prompt["prompt"],
        "completion": [{"role": "assistant", "content": completion["text"]}],
        "input_ids": prompt_ids + completion_ids,
        "completion_mask": [0] * len(prompt_ids) + [1] * len(completion_ids),
    }
