"""SFT rows: what M_{n+1} is trained on, as prompt and completion for any trainer, and as the sampled tokens.

In Arrow and numpy: with Polars, lists of token ids and of messages take three times as long.
"""

from collections.abc import Callable

import numpy as np
import polars as pl
import pyarrow as pa

from filtering.compat import Messages, separate_prompt
from filtering.pairs import Samples, taken
from store.schemas import MESSAGES, SFT, TOKENS

PROMPT = ("prompt", "prompt_token_ids")  # columns of the samples


def of_corrections(kept: pl.DataFrame, samples: Samples, training_prompt: Messages | None) -> pa.Table:
    """Return the corrections y2 of the kept pairs as rows of schemas.SFT, each to the prompt that has its y1.

    training_prompt (compat.separate_training_prompt): what they are trained to instead; nothing was sampled for it, so
    input_ids begin with the completion.
    """
    completion = [taken(samples.corrections[name], kept["correction_row"]) for name in ("text", "token_ids")]
    if training_prompt is None:
        return rows(
            kept, samples, *(taken(samples.corrections[name], kept["prompt_row"]) for name in PROMPT), *completion
        )
    questions = taken(samples.questions["question"], kept["question_row"]).to_pylist()
    answers = taken(samples.initial["text"], kept["initial_row"]).to_pylist()
    filled = [separate_prompt(training_prompt, *both) for both in zip(questions, answers, strict=True)]
    return rows(kept, samples, pa.array(filled, MESSAGES), pa.array([[]] * len(kept), TOKENS), *completion)


def of_initial_answers(kept: pl.DataFrame, samples: Samples) -> pa.Table:
    """Return the initial answers y1 of the kept pairs as rows of schemas.SFT (STaR)."""
    columns = (taken(samples.initial[name], kept["initial_row"]) for name in (*PROMPT, "text", "token_ids"))
    return rows(kept, samples, *columns)


def of_gold_answers(kept: pl.DataFrame, samples: Samples, tokenize: Callable[[str], list[int]]) -> pa.Table:
    """Return the first gold answers of the kept pairs as rows of schemas.SFT, to the prompt of the initial answer."""
    prompt, prompt_ids = (taken(samples.initial[name], kept["initial_row"]) for name in PROMPT)
    texts = [answers[0] for answers in taken(samples.questions["answers"], kept["question_row"]).to_pylist()]
    return rows(kept, samples, prompt, prompt_ids, pa.array(texts, pa.string()), pa.array(map(tokenize, texts), TOKENS))


def rows(
    kept: pl.DataFrame, samples: Samples, prompt: pa.Array, prompt_ids: pa.ListArray, texts: pa.Array,
    token_ids: pa.ListArray,
) -> pa.Table:  # fmt: skip
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
    question_ids = taken(samples.questions["question_id"], kept["question_row"])
    keys = [question_ids, kept["init_index"].to_arrow(), kept["corr_index"].to_arrow()]
    return pa.Table.from_arrays([*keys, prompt, completion, input_ids, completion_mask], schema=SFT)
