"""Siblings (filter.pairing=siblings): an incorrect initial answer is corrected by a correct text of its own question.

    S_i = {(y1_ij, y) : r(y1_ij) < t, y one of y1_ij', y2_ij'k with j' != j, r(y) >= t}, at most
          siblings_per_kept_correct * |D= of question i| of them

A row is the correction prompt of y1_ij with the tokens of y as they were sampled; the same two texts are trained once,
whether as a sibling or as a kept pair. With verdicts y is a correction that begins with the word for a new answer.
"""

import polars as pl

from filtering.filters import floor, is_correct
from filtering.pairs import Samples, taken
from filtering.settings import Settings
from store.fingerprint import stable_hash

TEXTS = ("asked", "correction_text_row")


def of_shard(pairs: pl.DataFrame, samples: Samples, settings: Settings) -> pl.DataFrame:
    """Return the siblings of a shard of labeled pairs: question_row and init_index i, j; prompt_row; of y its row among
    the initial answers or corrections, completion_row, and its own indices, completion_corr_index -1 for the former."""
    correct_twice = pairs.filter(pl.col("reason") == "kept_correct").group_by("question_row").len()
    allowed = {i: floor(settings.options.siblings or 0, number) for i, number in correct_twice.iter_rows()}
    pairs = pairs.filter(pl.col("question_row").is_in([i for i, number in allowed.items() if number]))

    pairs = pairs.with_columns(asked=asked_by(pairs, samples, settings))
    incorrect = ~is_correct(pl.col("initial_reward"), settings.options.threshold)
    asked = pairs.filter(incorrect).unique(("question_row", "asked"), keep="first", maintain_order=True)
    asked = asked.select("question_row", "init_index", "prompt_row", "asked")
    rows = asked.join(correct_texts(pairs, settings), on="question_row", maintain_order="left_right")
    rows = rows.filter(pl.col("init_index") != pl.col("completion_init_index"))
    rows = rows.join(pairs.filter("kept").select(TEXTS), on=TEXTS, how="anti", maintain_order="left")

    ids = samples.questions["question_id"].to_pylist()
    key = ("question_row", "init_index", "completion_init_index", "completion_corr_index")
    draws = [stable_hash(settings.seed, "sibling", ids[i], *of_row) for i, *of_row in rows.select(key).iter_rows()]
    rows = rows.with_columns(draw=pl.Series(draws, dtype=pl.Int64)).sort("draw")
    rows = rows.unique(TEXTS, keep="first", maintain_order=True)
    number = pl.int_range(pl.len()).over("question_row")
    limit = pl.col("question_row").replace_strict(allowed, return_dtype=pl.Int64)
    return rows.filter(number < limit).sort(key)


def asked_by(pairs: pl.DataFrame, samples: Samples, settings: Settings) -> pl.Series:
    """Return a number for each pair, equal for pairs of a question with the same correction prompt: of y1's answer, or
    of the prompt itself where it shows several initial answers."""
    if not settings.num_answers:
        return pairs["initial_answer_number"]  # thoughts are not shown
    prompts = taken(samples.corrections["prompt_token_ids"], pairs["prompt_row"]).to_pylist()
    known: dict[tuple[int, ...], int] = {}
    return pl.Series([known.setdefault(tuple(ids), len(known)) for ids in prompts], dtype=pl.Int64)


def correct_texts(pairs: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """Return the texts y of the pairs' questions that are correct and whole, each sample once."""
    usable = {
        side: is_correct(pl.col(f"{side}_reward"), settings.options.threshold) & ~pl.col(f"{side}_truncated")
        for side in ("initial", "correction")
    }
    if settings.scoring.verdict:
        usable["correction"] &= (pl.col("verdict") == "replace") & ~pl.col("contradicted")
        usable["initial"] = pl.lit(False)
    corrections = pairs.filter(usable["correction"]).select(
        "question_row", "correction_text_row", completion_row="correction_row", completion_init_index="init_index",
        completion_corr_index="corr_index",
    )  # fmt: skip
    answers = pairs.filter(usable["initial"]).unique(("question_row", "init_index"), keep="first", maintain_order=True)
    answers = answers.select(
        "question_row", correction_text_row="initial_text_row", completion_row="initial_row",
        completion_init_index="init_index", completion_corr_index=pl.lit(-1, pl.Int32),
    )  # fmt: skip
    return pl.concat([corrections, answers])
