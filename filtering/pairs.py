"""Corrections join their initial answers on ids, with exact accounting: nothing is lost, doubled or mismatched."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from filtering.compat import cross_pairs
from filtering.rewards.texts import Golds, Texts
from filtering.source import Source
from store.shards import corrupt

ANSWER = ("question_row", "init_index")  # i, j
PAIR = (*ANSWER, "corr_index")  # i, j, k


@dataclass(frozen=True)
class Shard:
    """Initial answers y1_ij, corrections y2_ijk, the pairs (y1, y2) that they form, and their questions x_i, which the
    column `question_row` of pairs numbers. texts: the different ones of each question, a fifth to a third fewer than
    samples, which the columns `*_text_row` of pairs number; golds: the gold answers of each of these.

    Columns of pairs: PAIR; initial_<c> and correction_<c> for c in text, text_row, finish_reason and, where token_ids
    are read, num_tokens; initial_row of `initial`, prompt_row and correction_row of `corrections`, of which the first
    has the pair's prompt (another one under compat.cross_pairing).
    """

    initial: pa.Table
    corrections: pa.Table
    pairs: pl.DataFrame
    questions: pl.DataFrame
    texts: Texts
    golds: Golds

    @property
    def answer_numbers(self) -> np.ndarray:
        """Return which of the texts are alike but for what a model thinks before it answers: a number for each."""
        return pa.array(self.texts).dictionary_encode().indices.to_numpy()


def read_shard(source: Source, compat: list[str], split: str, file: str, *more: str) -> Shard:
    """Read a shard of samples, with `more` of their columns, and join it. With the initial_answer that corrections say
    they correct, it is checked: CorruptArtifact where it is not sound."""
    path, initial, corrections = source.read(split, file, *more)
    ids, texts, questions, answers, own = tabulate(initial, corrections)
    pairs, num_corrections = join(answers, own), source.num_corrections[split]
    if "initial_answer" in more:
        check(path, ids, answers, pairs, num_corrections, source.quarantined)
    if "cross_pairing" in compat and split == "train":  # held-out pairs are never crossed
        pairs = cross_pairs(pairs, num_corrections)
    asked = source.questions(split, path, ids)
    gold_answers = asked["answers"].to_list()
    return Shard(initial, corrections, pairs, asked, Texts(texts), Golds([gold_answers[row] for row in questions]))


def tabulate(
    initial: pa.Table, corrections: pa.Table
) -> tuple[list[str], list[str], list[int], pl.DataFrame, pl.DataFrame]:
    """Return the ids of the questions, the different texts of each question, which question each of these is of, and
    what of the initial answers and of the corrections goes into pairs."""
    ids, questions = numbered(initial["question_id"], corrections["question_id"])
    values, texts = numbered(initial["text"], corrections["text"])
    keys = [of_question.astype(np.int64) << 32 | text for of_question, text in zip(questions, texts, strict=True)]
    different, rows = np.unique(np.concatenate(keys), return_inverse=True)
    text_rows = np.split(rows, [len(initial)])
    answers = sampled("initial", initial, questions[0], text_rows[0])
    own = sampled("correction", corrections, questions[1], text_rows[1]) | {
        "corr_index": corrections["corr_index"],
        "prompt_row": np.arange(len(corrections)),
    }
    if "initial_answer" in corrections.column_names:
        own["corrects"] = corrections["initial_answer"]
    distinct = values.take(pa.array(different & 0xFFFFFFFF)).to_numpy(zero_copy_only=False).tolist()
    frames = (pl.DataFrame(pl.from_arrow(pa.table(columns))) for columns in (answers, own))
    return ids.to_pylist(), distinct, (different >> 32).tolist(), *frames


def numbered(*columns: pa.ChunkedArray) -> tuple[pa.Array, list[np.ndarray]]:
    """Return the different values in some columns, and for each column which of them every row has."""
    chunks = [chunk for column in columns for chunk in column.chunks]
    whole = pa.chunked_array(chunks, columns[0].type).combine_chunks().dictionary_encode()
    return whole.dictionary, np.split(whole.indices.to_numpy(), np.cumsum(list(map(len, columns)))[:-1])


def sampled(side: str, samples: pa.Table, questions: np.ndarray, text_rows: np.ndarray) -> dict[str, Any]:
    """Return the columns of initial answers or of corrections that go into pairs."""
    columns = {"text": samples["text"], "text_row": text_rows, "finish_reason": samples["finish_reason"]}
    if "token_ids" in samples.column_names:
        columns["num_tokens"] = pc.list_value_length(samples["token_ids"])
    keys = {"question_row": questions, "init_index": samples["init_index"], f"{side}_row": np.arange(len(samples))}
    return keys | {f"{side}_{name}": column for name, column in columns.items()}


def join(answers: pl.DataFrame, corrections: pl.DataFrame) -> pl.DataFrame:
    """Return every correction y2_ijk with its own initial answer y1_ij, N_init * N_corr pairs (Algorithm 1 of arXiv
    2503.08681), in the order of the corrections."""
    return corrections.join(answers, on=ANSWER, how="left", maintain_order="left")


def check(
    path: Path, ids: list[str], answers: pl.DataFrame, pairs: pl.DataFrame, num_corrections: int,
    quarantined: Counter[tuple[str, int]],
) -> None:  # fmt: skip
    """Raise CorruptArtifact, with `path` and ids, unless every key occurs once, every correction has a parent with the
    very text that it corrects, and every initial answer has num_corrections corrections, those in `quarantined` (by
    question_id and init_index) included. ids: of the questions."""

    def refuse(what: str, table: pl.DataFrame, rows: pl.Expr) -> None:
        found = table.filter(rows).select(name for name in PAIR if name in table.columns)
        if len(found):
            examples = ", ".join(str((ids[question], *numbers)) for question, *numbers in found.head(3).iter_rows())
            raise corrupt(path, f"{len(found)} {what}, e.g. {examples}")

    for what, table, key in (("initial answers", answers, ANSWER), ("corrections", pairs, PAIR)):
        again = pl.struct(key).is_duplicated() & pl.struct(key).is_first_distinct()
        if table.select(pl.struct(key).n_unique()).item() < len(table):
            refuse(f"{what} occur twice", table, again)
    faults = {
        f"corrections are not numbered 0 to {num_corrections - 1}": ~pl.col("corr_index").is_between(
            0, num_corrections - 1
        ),
        "corrections have no initial answer": pl.col("initial_row").is_null(),
        "corrections are of another text than that of their initial answer": pl.col("corrects")
        != pl.col("initial_text"),
    }
    for what, rows in faults.items():
        refuse(what, pairs, rows)
    if quarantined or len(pairs) != len(answers) * num_corrections:  # so many are all, having different numbers
        found = answers.join(pairs.group_by(ANSWER).len("found"), on=ANSWER, how="left", maintain_order="left")
        lost = [quarantined[ids[question], j] for question, j in found.select(ANSWER).iter_rows()]
        incomplete = pl.col("found").fill_null(0) + pl.Series(lost, dtype=pl.UInt32) != num_corrections
        refuse(f"initial answers do not have {num_corrections} corrections", found, incomplete)


def with_texts(shard: Shard, known: dict[str, Any]) -> pl.DataFrame:
    """Return the pairs with what is known of texts, an entry for each, as initial_<name> and correction_<name>."""
    sides = (("initial", shard.pairs["initial_text_row"]), ("correction", shard.pairs["correction_text_row"]))
    columns = [pl.Series(name, values) for name, values in known.items()]
    return shard.pairs.hstack([of[rows].alias(f"{side}_{of.name}") for of in columns for side, rows in sides])
