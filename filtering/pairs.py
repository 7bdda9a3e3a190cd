"""Corrections join their initial answers on ids, with exact accounting: nothing is lost, doubled or mismatched."""

from collections import Counter
from pathlib import Path

import polars as pl

from filtering.compat import cross_pairs
from filtering.rewards.texts import Golds, Texts
from filtering.source import Source
from store.shards import corrupt

ANSWER = ("question_id", "init_index")  # i, j
PAIR = (*ANSWER, "corr_index")  # i, j, k


def read_pairs(
    source: Source, compat: list[str], split: str, file: str, *more: str
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return a shard's initial answers y1_ij, its corrections y2_ijk, the pairs (y1, y2) that they form, and their
    questions x_i. CorruptArtifact where they disagree."""
    path, initial, corrections = source.read(split, file, *more)
    pairs = join(path, initial, corrections, source.num_corrections[split], source.quarantined)
    if "cross_pairing" in compat and split == "train":  # held-out pairs are never crossed
        pairs = cross_pairs(pairs, source.num_corrections[split])
    ids = initial["question_id"].unique()
    questions = source.questions(split).filter(pl.col("question_id").is_in(ids.implode()))
    unknown = sorted(set(ids) - set(questions["question_id"])) if len(questions) < len(ids) else []
    if unknown:
        raise corrupt(path, f"{len(unknown)} questions of it are not in the run's, e.g. {unknown[:3]}")
    return initial, corrections, pairs, questions


def join(
    path: Path, initial: pl.DataFrame, corrections: pl.DataFrame, num_corrections: int, quarantined: Counter
) -> pl.DataFrame:
    """Return every correction y2_ijk with its own initial answer y1_ij, N_init * N_corr pairs (Algorithm 1 of arXiv
    2503.08681), in the order of the corrections.

    Columns: PAIR; initial_answer and correction, the texts; initial_<c> and correction_<c> for c in finish_reason and,
    where token_ids are given, num_tokens; initial_row of `initial`, prompt_row and correction_row of `corrections`, of
    which the first has the pair's prompt (another one under compat.cross_pairing).
    CorruptArtifact names `path` and ids unless every key occurs once, every correction has a parent with the very text
    that it corrects, and every initial answer has num_corrections corrections, those in `quarantined` (by question_id
    and init_index) included.
    """
    refuse(path, "initial answers occur twice", initial, twice(ANSWER))
    refuse(path, "corrections occur twice", corrections, twice(PAIR))
    planned = pl.col("corr_index").is_between(0, num_corrections - 1)
    refuse(path, f"corrections are not numbered 0 to {num_corrections - 1}", corrections, ~planned)

    answers = initial.select(*ANSWER, *sampled("initial"), parent="text", initial_row=pl.int_range(pl.len()))
    row = pl.int_range(pl.len())
    own = corrections.select(
        *PAIR, *sampled("correction"), "initial_answer", correction="text", prompt_row=row, correction_row=row
    )
    pairs = own.join(answers, on=ANSWER, how="left", maintain_order="left")
    refuse(path, "corrections have no initial answer", pairs, pl.col("initial_row").is_null())
    other = "corrections are of another text than that of their initial answer"
    refuse(path, other, pairs, pl.col("initial_answer") != pl.col("parent"))

    found = answers.join(own.group_by(ANSWER).len("found"), on=ANSWER, how="left", maintain_order="left")
    if quarantined:
        lost = [quarantined[key] for key in answers.select(ANSWER).iter_rows()]
        found = found.with_columns(pl.col("found").fill_null(0) + pl.Series(lost, dtype=pl.UInt32))
    incomplete = pl.col("found").fill_null(0) != num_corrections
    refuse(path, f"initial answers do not have {num_corrections} corrections", found, incomplete)
    return pairs.drop("parent")


def distinct_texts(pairs: pl.DataFrame, questions: pl.DataFrame) -> tuple[pl.DataFrame, Texts, Golds]:
    """Return the different texts of each question, a fifth to a third fewer than samples: as question_id and text, as
    what rewards take, and the gold answers of each."""
    both = [pairs.select("question_id", text=text) for text in ("initial_answer", "correction")]
    distinct = pl.concat(both).unique(maintain_order=True)
    answers = dict(questions.select("question_id", "answers").iter_rows())
    return distinct, Texts(distinct["text"].to_list()), Golds([answers[key] for key in distinct["question_id"]])


def with_texts(pairs: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Add what is known of texts, columns beside question_id and text, as initial_<name> and correction_<name>."""
    for side, text in (("initial", "initial_answer"), ("correction", "correction")):
        columns = pl.exclude("question_id", "text").name.prefix(f"{side}_")
        of_text = known.select("question_id", columns, pl.col("text").alias(text))
        pairs = pairs.join(of_text, on=("question_id", text), how="left", maintain_order="left")
    return pairs


def sampled(side: str) -> list[pl.Expr]:
    """Return what is taken of the samples themselves, as initial_<name> or correction_<name>."""
    tokens = pl.selectors.by_name("token_ids", require_all=False).list.len().cast(pl.Int32)
    return [pl.col("finish_reason").alias(f"{side}_finish_reason"), tokens.name.map(lambda _: f"{side}_num_tokens")]


def twice(key: tuple[str, ...]) -> pl.Expr:
    """Return the first row of every key that occurs again."""
    return pl.struct(key).is_duplicated() & pl.struct(key).is_first_distinct()


def refuse(path: Path, what: str, table: pl.DataFrame, rows: pl.Expr) -> None:
    """Raise CorruptArtifact with the keys of some of these rows, where there are any."""
    found = table.filter(rows)
    if len(found):
        keys = [name for name in PAIR if name in table.columns]
        examples = ", ".join(str(key) for key in found.select(keys).head(3).iter_rows())
        raise corrupt(path, f"{len(found)} {what}, e.g. {examples}")
