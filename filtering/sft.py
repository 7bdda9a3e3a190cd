"""SFT rows: what M_{n+1} is trained on, as prompt and completion for any trainer, and as the sampled tokens.

    corrections      y2_ijk of the kept pairs, to the prompt that has y1_ij
    initial_answers  y1_ij of the kept pairs, to the prompt that has x_i (STaR)
    gold_answers     the first gold answer, to the prompt that has x_i
    both             corrections, and beside them correct initial answers: two turns of one model

In Arrow and numpy: with Polars, lists of token ids and of messages take three times as long.
"""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from filtering import siblings
from filtering.compat import Messages, separate_prompt
from filtering.filters import REASON
from filtering.pairs import Samples, taken
from filtering.settings import Settings
from store.schemas import MESSAGES, SFT, TOKENS, sft

PROMPT = ("prompt", "prompt_token_ids")  # columns of the samples
COMPLETION = ("text", "token_ids")


def of_shard(
    pairs: pl.DataFrame, samples: Samples, settings: Settings, gold_tokens: Callable[[], Callable[[str], list[int]]]
) -> pa.Table:
    """Return the rows of a shard of labeled pairs, of schemas.sft. gold_tokens: gives the tokenizer of gold answers."""
    kept = pairs.filter("kept")
    if settings.trains_on == "initial_answers":
        return of_initial_answers(kept, samples)
    if settings.trains_on == "gold_answers":
        return of_gold_answers(kept, samples, gold_tokens())
    own = of_corrections(kept, samples, settings.training_prompt)
    if not settings.is_mixed:
        return own
    reasons = pa.array(REASON.categories.to_list()).take(kept["reason"].to_physical().to_arrow())
    parts = [with_origin(own, reasons, kept.select("init_index", "corr_index"))]
    if settings.options.siblings is not None:
        chosen = siblings.of_shard(pairs, samples, settings)
        origin = chosen.select("completion_init_index", "completion_corr_index")
        parts.append(with_origin(of_siblings(chosen, samples), pa.repeat("sibling", len(chosen)), origin))
    if settings.options.first_turns is not None:
        first = pairs.filter("first_turn").with_columns(corr_index=pl.lit(-1, pl.Int32))
        origin = first.select("init_index", "corr_index")
        parts.append(with_origin(of_initial_answers(first, samples), pa.repeat("first_turn", len(first)), origin))
    return pa.concat_tables(parts).combine_chunks()


def of_corrections(kept: pl.DataFrame, samples: Samples, training_prompt: Messages | None) -> pa.Table:
    """Return the corrections y2 of the kept pairs as rows of schemas.SFT, each to the prompt that has its y1.

    training_prompt (compat.separate_training_prompt): what they are trained to instead; nothing was sampled for it, so
    input_ids begin with the completion.
    """
    completion = [taken(samples.corrections[name], kept["correction_row"]) for name in COMPLETION]
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
    columns = (taken(samples.initial[name], kept["initial_row"]) for name in (*PROMPT, *COMPLETION))
    return rows(kept, samples, *columns)


def of_gold_answers(kept: pl.DataFrame, samples: Samples, tokenize: Callable[[str], list[int]]) -> pa.Table:
    """Return the first gold answers of the kept pairs as rows of schemas.SFT, to the prompt of the initial answer."""
    prompt, prompt_ids = (taken(samples.initial[name], kept["initial_row"]) for name in PROMPT)
    texts = [answers[0] for answers in taken(samples.questions["answers"], kept["question_row"]).to_pylist()]
    return rows(kept, samples, prompt, prompt_ids, pa.array(texts, pa.string()), pa.array(map(tokenize, texts), TOKENS))


def of_siblings(chosen: pl.DataFrame, samples: Samples) -> pa.Table:
    """Return the texts that filtering.siblings chose, each to the correction prompt of its incorrect initial answer."""
    prompt = (taken(samples.corrections[name], chosen["prompt_row"]) for name in PROMPT)
    both = {name: [samples.corrections[name], samples.initial[name]] for name in COMPLETION}
    is_first_turn = (chosen["completion_corr_index"] < 0).cast(pl.Int64)
    row = chosen["completion_row"] + is_first_turn * len(samples.corrections)
    completion = (taken(together(columns), row) for columns in both.values())
    return rows(chosen.with_columns(corr_index=pl.lit(-1, pl.Int32)), samples, *prompt, *completion)


def together(columns: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    """Return the rows of some columns as one column."""
    return pa.chunked_array([chunk for column in columns for chunk in column.chunks], columns[0].type)


def with_origin(table: pa.Table, reasons: pa.Array, origin: pl.DataFrame) -> pa.Table:
    """Return rows of schemas.sft(is_mixed=True): why each is trained, and of its completion the indices j, k."""
    columns = [*table.columns, reasons, *(column.to_arrow() for column in origin)]
    return pa.Table.from_arrays(columns, schema=sft(is_mixed=True))


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
