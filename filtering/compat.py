"""Switches that repeat what the authors' code does and their paper (arXiv 2503.08681) does not say; all off by default.

Cross pairing, Non-decreasing as D= alone, scoring the whole text, and training on another prompt than was answered.
"""

import re
from collections.abc import Sequence

import polars as pl

PLACEHOLDER = re.compile(r"\{(question|initial_answer)\}")
Messages = Sequence[dict[str, str]]


def cross_pairs(pairs: pl.DataFrame, num_corrections: int) -> pl.DataFrame:
    """Return every correction paired with every initial answer of its question: N_init^2 * N_corr pairs, not
    N_init * N_corr.

    A pair's prompt is that of the first correction of its initial answer. corr_index counts through all corrections of
    the question: init_index * num_corrections + corr_index of the correction itself. Pairs are ordered by question as
    first met, then by initial answer, then by correction.
    """
    of_correction = pl.selectors.starts_with("correction")
    number = pl.col("init_index") * num_corrections + pl.col("corr_index")
    corrections = pairs.select("question_row", of_correction, corr_index=number)
    prompts = pairs.select(pl.exclude("^correction.*$", "corr_index")).unique(
        ("question_row", "init_index"), keep="first", maintain_order=True
    )
    first_met = pl.int_range(pl.len()).min().over("question_row")
    return prompts.sort(first_met, maintain_order=True).join(
        corrections, on="question_row", maintain_order="left_right"
    )


def equal_only_filter(name: str) -> str:
    """Return the filter without D+ for Non-decreasing: the authors' published N curves are of copies only. As many rows
    at random are then as many as that keeps."""
    return name.replace("non_decreasing", "equal_only")


def whole_text_score(reward: str) -> str:
    """Return the reward of the whole text, as the authors score: "not Paris" and a list of candidates are correct."""
    return "in_accuracy" if reward in ("in_accuracy_final", "answer_match") else reward


def separate_prompt(messages: Messages, question: str, initial_answer: str) -> list[dict[str, str]]:
    """Fill in the prompt that the authors train on: without examples, in other words, the initial answer in a user's
    turn."""
    values = {"question": question, "initial_answer": initial_answer}
    return [m | {"content": PLACEHOLDER.sub(lambda found: values[found[1]], m["content"])} for m in messages]
