"""SFT rows: what M_{n+1} is trained on, as prompt and completion for any trainer, and as the sampled tokens."""

from collections.abc import Callable

import polars as pl

from filtering.compat import Messages, separate_prompt
from filtering.pairs import PAIR

PROMPT, COMPLETION = ("prompt", "prompt_token_ids"), ("text", "token_ids")  # columns of the samples


def of_corrections(kept: pl.DataFrame, corrections: pl.DataFrame, training_prompt: Messages | None) -> pl.DataFrame:
    """Return the corrections y2 of the kept pairs as rows of schemas.SFT, each to the prompt that has its y1.

    training_prompt (compat.separate_training_prompt): what they are trained to instead; nothing was sampled for it, so
    input_ids begin with the completion.
    """
    prompts = corrections.select(PROMPT)[kept["prompt_row"]]
    if training_prompt is not None:
        filled = [separate_prompt(training_prompt, *both) for both in kept.select("question", "initial_answer").rows()]
        prompts = pl.DataFrame({"prompt": filled, "prompt_token_ids": [[]] * len(kept)}, schema=prompts.schema)
    return rows(kept, prompts, corrections.select(COMPLETION)[kept["correction_row"]])


def of_initial_answers(kept: pl.DataFrame, initial: pl.DataFrame) -> pl.DataFrame:
    """Return the initial answers y1 of the kept pairs as rows of schemas.SFT (STaR)."""
    samples = initial[kept["initial_row"]]
    return rows(kept, samples.select(PROMPT), samples.select(COMPLETION))


def of_gold_answers(kept: pl.DataFrame, initial: pl.DataFrame, tokenize: Callable[[str], list[int]]) -> pl.DataFrame:
    """Return the first gold answers of the kept pairs as rows of schemas.SFT, to the prompt of the initial answer."""
    answers = kept.select(text=pl.col("answers").list.first())
    token_ids = pl.Series("token_ids", [tokenize(text) for text in answers["text"]], pl.List(pl.Int32))
    return rows(kept, initial.select(PROMPT)[kept["initial_row"]], answers.with_columns(token_ids))


def rows(kept: pl.DataFrame, prompts: pl.DataFrame, completions: pl.DataFrame) -> pl.DataFrame:
    """Return the keys, the prompt, the completion as the one assistant turn, and exactly the ids that were sampled,
    prompt_token_ids + token_ids; completion_mask is 1 on the latter, the stop token included."""
    zero, one = (pl.lit(value, pl.Int8) for value in (0, 1))
    prompt, completion = pl.col("prompt_token_ids"), pl.col("token_ids")
    return pl.concat([kept.select(PAIR), prompts, completions], how="horizontal").select(
        *PAIR,
        "prompt",
        completion=pl.concat_list(pl.struct(role=pl.lit("assistant"), content="text")),
        input_ids=pl.concat_list(prompt, completion),
        completion_mask=pl.concat_list(zero.repeat_by(prompt.list.len()), one.repeat_by(completion.list.len())),
    )
