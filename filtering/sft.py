"""SFT rows: what M_{n+1} is trained on, as prompt and completion for any trainer, and as the sampled tokens.

In Arrow and numpy: with Polars, lists of token ids and of messages take three times as long.
"""

from collections.abc import Callable

import numpy as np
import polars as pl
import pyarrow as pa

from filtering.compat import Messages, separate_prompt
from store.schemas import MESSAGES, SFT, TOKENS

PROMPT = ("prompt", "prompt_token_ids")  # columns of the samples
KEY = ("question_id", "init_index", "corr_index")
KEPT_COLUMNS = (*KEY, "question", "answers", "initial_answer", "initial_row", "prompt_row", "correction_row")


def of_corrections(kept: pl.DataFrame, corrections: pa.Table, training_prompt: Messages | None) -> pa.Table:
    """Return the corrections y2 of the kept pairs as rows of schemas.SFT, each to the prompt that has its y1.

    training_prompt (compat.separate_training_prompt): what they are trained to instead; nothing was sampled for it, so
    input_ids begin with the completion.
    """
    prompt, prompt_ids = taken(corrections, kept["prompt_row"], *PROMPT)
    if training_prompt is not None:
        texts = kept.select("question", "initial_answer").iter_rows()
        prompt = pa.array([separate_prompt(training_prompt, *both) for both in texts], MESSAGES)
        prompt_ids = pa.array([[]] * len(kept), TOKENS)
    return rows(kept, prompt, prompt_ids, *taken(corrections, kept["correction_row"], "text", "token_ids"))


def of_initial_answers(kept: pl.DataFrame, initial: pa.Table) -> pa.Table:
    """Return the initial answers y1 of the kept pairs as rows of schemas.SFT (STaR)."""
    return rows(kept, *taken(initial, kept["initial_row"], *PROMPT, "text", "token_ids"))


def of_gold_answers(kept: pl.DataFrame, initial: pa.Table, tokenize: Callable[[str], list[int]]) -> pa.Table:
    """Return the first gold answers of the kept pairs as rows of schemas.SFT, to the prompt of the initial answer."""
    texts = kept["answers"].list.first().to_list()
    completions = pa.array(texts, pa.string()), pa.array(map(tokenize, texts), TOKENS)
    prompt, prompt_ids = taken(initial, kept["initial_row"], *PROMPT)
    return rows(kept, prompt, prompt_ids, *completions)


def rows(
    kept: pl.DataFrame, prompt: pa.Array, prompt_ids: pa.ListArray, texts: pa.Array, token_ids: pa.ListArray
) -> pa.Table:
    """Return the keys, the prompt, the completion as the one assistant turn, and exactly the ids that were sampled,
    prompt_ids + token_ids; completion_mask is 1 on the latter, the stop token included."""
    turn = pa.StructArray.from_arrays([pa.repeat("assistant", len(texts)), texts], fields=list(MESSAGES.value_type))
    completion = pa.ListArray.from_arrays(np.arange(len(texts) + 1, dtype=np.int32), turn, type=MESSAGES)
    lengths = np.stack([ids.value_lengths().to_numpy() for ids in (prompt_ids, token_ids)], axis=1)
    mask = np.repeat(np.tile(np.array([0, 1], dtype=np.int8), len(lengths)), lengths.ravel())
    ids = np.empty(len(mask), dtype=np.int32)
    ids[mask == 0], ids[mask == 1] = prompt_ids.flatten().to_numpy(), token_ids.flatten().to_numpy()
    offsets = np.concatenate([[0], lengths.sum(axis=1).cumsum()]).astype(np.int32)
    input_ids, completion_mask = (
        pa.ListArray.from_arrays(offsets, values, type=SFT.field(name).type)
        for name, values in (("input_ids", ids), ("completion_mask", mask))
    )
    keys = [kept[name].to_arrow().cast(SFT.field(name).type) for name in KEY]
    return pa.Table.from_arrays([*keys, prompt, completion, input_ids, completion_mask], schema=SFT)


def taken(samples: pa.Table, rows: pl.Series, *names: str) -> list[pa.Array]:
    """Return the entries of some columns in these rows."""
    return [samples[name].combine_chunks().take(rows.to_arrow()) for name in names]
