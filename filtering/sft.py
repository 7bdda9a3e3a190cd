"""SFT rows: the kept pairs as prompt and completion, readable for any trainer, and as the sampled tokens."""

from typing import Any

import numpy as np
import pyarrow as pa

from data.schemas import SFT
from filtering.compat import Messages, separate_prompt
from filtering.join import Joined
from filtering.trajectories import Questions


def to_table(
    joined: Joined, trains_on: str, golds: list[dict[str, Any]], training_prompt: Messages | None, questions: Questions
) -> pa.Table:
    """One row per pair of `joined`: a prompt, the completion as the one assistant turn, and exactly the ids that were
    sampled, prompt_token_ids + token_ids; completion_mask is 1 on the latter, the stop token included.

    trains_on: corrections, to their own prompt; initial_answers or gold_answers, to the initial prompt. golds: of the
    pairs, text and token_ids, where these are trained. training_prompt (compat.separate_training_prompt): what the
    corrections are trained to instead; nothing was sampled for it, so input_ids begin with the completion.
    """
    if trains_on == "corrections":
        columns = ("question_id", "initial_answer", "prompt", "prompt_token_ids")
        prompts = _take(joined.corrections, joined.prompt_rows, *columns)
        if training_prompt is not None:
            asked = [(questions[row["question_id"]]["question"], row["initial_answer"]) for row in prompts]
            prompts = [{"prompt": separate_prompt(training_prompt, *texts), "prompt_token_ids": []} for texts in asked]
        completions = _take(joined.corrections, joined.correction_rows, "text", "token_ids")
    else:
        prompts = _take(joined.initial, joined.answer_rows, "prompt", "prompt_token_ids")
        answers = _take(joined.initial, joined.answer_rows, "text", "token_ids")
        completions = golds if trains_on == "gold_answers" else answers
    rows = zip(joined.pair_ids(), prompts, completions, strict=True)
    return pa.Table.from_pylist([_row(*row) for row in rows], schema=SFT)


def _take(table: pa.Table, rows: np.ndarray, *columns: str) -> list[dict[str, Any]]:
    return table.select(columns).take(pa.array(rows)).to_pylist()


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
