"""SFT rows: the kept pairs as prompt and completion, readable for any trainer, and as the sampled tokens."""

from typing import Any

import numpy as np
import pyarrow as pa

from filtering.compat import Messages, separate_prompt
from filtering.join import Joined
from filtering.questions import Asked
from filtering.samples import taken
from store.schemas import MESSAGES, SFT, TOKENS

COLUMNS = ("prompt", "prompt_token_ids")  # of the samples, beside what trajectories take


def to_table(
    pairs: Joined, trains_on: str, golds: list[dict[str, Any]], training_prompt: Messages | None, asked: Asked
) -> pa.Table:
    """One row per pair: a prompt, the completion as the one assistant turn, and exactly the ids that were sampled,
    prompt_token_ids + token_ids; completion_mask is 1 on the latter, the stop token included.

    trains_on: corrections, to their own prompt; initial_answers or gold_answers, to the initial prompt. golds: of the
    pairs, text and token_ids, where these are trained. training_prompt (compat.separate_training_prompt): what the
    corrections are trained to instead; nothing was sampled for it, so input_ids begin with the completion.
    """
    if trains_on == "corrections":
        prompts, completions = (pairs.corrections, pairs.prompt_rows), (pairs.corrections, pairs.correction_rows)
    else:
        prompts = completions = (pairs.initial, pairs.answer_rows)
    prompt, prompt_ids = _columns(*prompts, "prompt", "prompt_token_ids")
    texts, completion_ids = _columns(*completions, "text", "token_ids")
    if trains_on == "corrections" and training_prompt is not None:
        answers = taken(pairs.corrections["initial_answer"], pairs.prompt_rows).to_pylist()
        questions = [asked.texts[row] for row in pairs.pair_questions.tolist()]
        rows = [separate_prompt(training_prompt, *both) for both in zip(questions, answers, strict=True)]
        prompt, prompt_ids = pa.array(rows, MESSAGES), pa.array([[]] * len(rows), TOKENS)
    if trains_on == "gold_answers":
        texts = pa.array([gold["text"] for gold in golds], pa.string())
        completion_ids = pa.array([gold["token_ids"] for gold in golds], TOKENS)
    turn = pa.StructArray.from_arrays([pa.repeat("assistant", len(texts)), texts], fields=list(MESSAGES.value_type))
    input_ids, completion_mask = concatenated(prompt_ids, completion_ids)
    columns = [
        pairs.question_ids.take(pa.array(pairs.pair_questions)),
        pa.array(pairs.init_index, pa.int32()),
        pa.array(pairs.corr_index, pa.int32()),
        prompt,
        pa.ListArray.from_arrays(np.arange(len(texts) + 1, dtype=np.int32), turn, type=MESSAGES),
        input_ids,
        completion_mask,
    ]
    return pa.Table.from_arrays(columns, schema=SFT)


def concatenated(prompt_ids: pa.ListArray, completion_ids: pa.ListArray) -> tuple[pa.ListArray, pa.ListArray]:
    """(input_ids, completion_mask) of every row: its prompt's ids and then its completion's, 0 and 1."""
    lengths = np.stack([ids.value_lengths().to_numpy() for ids in (prompt_ids, completion_ids)], axis=1)
    mask = np.repeat(np.tile(np.array([0, 1], dtype=np.int8), len(lengths)), lengths.ravel())
    values = np.empty(len(mask), dtype=np.int32)
    values[mask == 0], values[mask == 1] = prompt_ids.flatten().to_numpy(), completion_ids.flatten().to_numpy()
    offsets = np.concatenate([[0], lengths.sum(axis=1).cumsum()]).astype(np.int32)
    return tuple(
        pa.ListArray.from_arrays(offsets, column, type=SFT.field(name).type)
        for name, column in (("input_ids", values), ("completion_mask", mask))
    )


def _columns(table: pa.Table, rows: np.ndarray, *names: str) -> list[pa.Array]:
    return [taken(table[name], rows) for name in names]
