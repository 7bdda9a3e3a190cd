"""What further rounds of correction come to on held-out questions: every text scored with the chosen reward."""

from functools import partial
from typing import Any

import polars as pl

from filtering.filters import is_correct
from filtering.rewards.texts import Golds, Texts
from filtering.scoring import Asked, score
from filtering.settings import Scoring
from filtering.source import Source
from store.schemas import ROUNDS


def scored(source: Source, scoring: Scoring, split: str) -> dict[str, pl.DataFrame]:
    """Return {file: rounds 2 and on} of a split's shards."""
    found: dict[str, list[pl.DataFrame]] = {}
    for turn in source.further_rounds:
        for path, corrections in source.round(split, turn):
            ids = corrections["question_id"].to_list()
            questions = source.questions(split, path, ids)
            texts, golds = Texts(corrections["text"].to_list()), Golds(questions["answers"].to_pylist())
            name, judgements = partial(name_of, corrections), source.judgements(path.name)
            asked = Asked(questions, range(len(texts)), str(path), name, judgements)
            rewards = pl.Series(score(scoring.chosen, scoring, texts, golds, asked))
            found.setdefault(path.name, []).append(to_rows(corrections, rewards, scoring.threshold, split, turn))
    return {file: pl.concat(parts) for file, parts in found.items()}


def name_of(corrections: pl.DataFrame, row: int) -> str:
    """Return the key of a row as words."""
    key = corrections.select("question_id", "init_index", "corr_index").row(row, named=True)
    return ", ".join(f"{name}={value!r}" for name, value in key.items())


def to_rows(corrections: pl.DataFrame, rewards: pl.Series, threshold: float, split: str, turn: int) -> pl.DataFrame:
    """Return rows of schemas.ROUNDS. A text that cannot be scored is incorrect, with reward NaN."""
    reward = pl.col("reward")
    return corrections.with_columns(
        reward=rewards, round=pl.lit(turn, pl.Int32), split=pl.lit(split), corrected="initial_answer",
        correction="text", num_tokens=pl.col("token_ids").list.len().cast(pl.Int32),
    ).with_columns(correct=reward.is_not_nan() & is_correct(reward, threshold)).select(ROUNDS.names)  # fmt: skip


def summarize(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Return a split's entries in metrics.json, one per round."""
    copies = (pl.col("corrected") == pl.col("correction")).sum()
    grouped = rows.group_by("round").agg(
        num_texts=pl.len(), num_correct=pl.col("correct").sum(), copies=copies,
        num_tokens=pl.col("num_tokens").cast(pl.Int64).sum(),
    )  # fmt: skip
    return [
        {
            "round": row["round"],
            "num_texts": row["num_texts"],
            "num_correct": row["num_correct"],
            "accuracy": row["num_correct"] / row["num_texts"],
            "copy_rate": row["copies"] / row["num_texts"],
            "num_tokens": row["num_tokens"],
        }
        for row in grouped.sort("round").iter_rows(named=True)
    ]
