"""Corrections join their initial answers on ids, with exact accounting: nothing is lost, doubled or mismatched."""

from collections import Counter
from collections.abc import Sequence
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
from filtering.verdicts import Words, answered
from store.shards import corrupt

ANSWER = ("question_row", "init_index")  # i, j
PAIR = (*ANSWER, "corr_index")  # i, j, k


@dataclass(frozen=True)
class Samples:
    """Initial answers y1_ij, corrections y2_ijk, the pairs (y1, y2) that they form, and their questions x_i. texts: the
    different ones of each question, a fifth to a third fewer than samples; golds, text_questions: of each of these the
    gold answers, and the row of its question.

    Columns of pairs, numbers alone: PAIR; initial_<c> and correction_<c> for c in row (of the samples), text_row (of
    texts), truncated and, where token_ids are read, num_tokens; prompt_row of `corrections`, whose prompt is the pair's
    (under compat.cross_pairing it is not that of correction_row). question_row is of `questions`.
    """

    initial: pa.Table
    corrections: pa.Table
    pairs: pl.DataFrame
    questions: pa.Table
    texts: Texts
    golds: Golds
    text_questions: Sequence[int] = ()


def read_samples(
    source: Source, compat: list[str], split: str, file: str, *more: str, verdict: Words | None = None
) -> Samples:
    """Read a shard of samples, with `more` of their columns, and join it. With the initial_answer that corrections say
    they correct, it is checked: CorruptArtifact where it is not sound. verdict: the words that corrections begin with;
    the texts are then the answers that they come to, and pairs have the columns of verdicts.answered."""
    if verdict and "initial_answer" not in more:
        more = (*more, "initial_answer")
    path, initial, corrections = source.read(split, file, *more)
    answers_of, verdicts = answered(corrections, verdict) if verdict else (corrections, None)
    ids, texts, questions, answers, pairs = join(initial, answers_of)
    if verdicts is not None:
        pairs = pairs.hstack(verdicts)
    num_corrections = source.num_corrections[split]
    if "initial_answer" in more:
        check(path, ids, (initial, corrections), answers, pairs, num_corrections, source.quarantined)
    if "cross_pairing" in compat and split == "train":  # held-out pairs are never crossed
        pairs = cross_pairs(pairs, num_corrections)
    asked = source.questions(split, path, ids)
    gold_answers = asked["answers"].to_pylist()
    golds = Golds([gold_answers[row] for row in questions])
    return Samples(initial, corrections, pairs, asked, Texts(texts), golds, questions)


def join(
    initial: pa.Table, corrections: pa.Table
) -> tuple[list[str], list[str], list[int], pl.DataFrame, pl.DataFrame]:
    """Return the ids of the questions; the different texts of each question; the question of each text; the initial
    answers y1_ij; and, in the order of the corrections, every correction y2_ijk with its own y1_ij, N_init * N_corr
    pairs (Algorithm 1 of arXiv 2503.08681)."""
    ids, questions = numbered(initial["question_id"], corrections["question_id"])
    values, texts = numbered(initial["text"], corrections["text"])
    keys = [of_question.astype(np.int64) << 32 | text for of_question, text in zip(questions, texts, strict=True)]
    different, rows = np.unique(np.concatenate(keys), return_inverse=True)
    text_rows = np.split(rows, [len(initial)])
    y1 = pl.DataFrame(sampled("initial", initial, questions[0], text_rows[0]))
    numbers = {"corr_index": corrections["corr_index"].to_numpy(), "prompt_row": np.arange(len(corrections))}
    y2 = pl.DataFrame(sampled("correction", corrections, questions[1], text_rows[1]) | numbers)
    pairs = y2.join(y1, on=ANSWER, how="left", maintain_order="left")
    distinct = values.take(pa.array(different & 0xFFFFFFFF)).to_numpy(zero_copy_only=False).tolist()
    return ids.to_pylist(), distinct, (different >> 32).tolist(), y1, pairs


def numbered(*columns: pa.ChunkedArray) -> tuple[pa.Array, list[np.ndarray]]:
    """Return the different values in some columns, and for each column which of them every row has."""
    chunks = [chunk for column in columns for chunk in column.chunks]
    whole = pa.chunked_array(chunks, columns[0].type).combine_chunks().dictionary_encode()
    return whole.dictionary, np.split(whole.indices.to_numpy(), np.cumsum(list(map(len, columns)))[:-1])


def sampled(side: str, samples: pa.Table, questions: np.ndarray, text_rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return the numbers of initial answers or of corrections that go into pairs."""
    columns = {
        "question_row": questions,
        "init_index": samples["init_index"].to_numpy(),
        f"{side}_row": np.arange(len(samples)),
        f"{side}_text_row": text_rows,
        f"{side}_truncated": pc.equal(samples["finish_reason"], "length").to_numpy(),
    }
    if "token_ids" in samples.column_names:
        columns[f"{side}_num_tokens"] = pc.list_value_length(samples["token_ids"]).to_numpy()
    return columns


def check(
    path: Path, ids: list[str], tables: tuple[pa.Table, pa.Table], answers: pl.DataFrame, pairs: pl.DataFrame,
    num_corrections: int, quarantined: Counter[tuple[str, int]],
) -> None:  # fmt: skip
    """Raise CorruptArtifact, with `path` and ids, unless every key occurs once, every correction has a parent with the
    very text that it corrects, and every initial answer has num_corrections corrections, those in `quarantined` (by
    question_id and init_index) included. ids: of the questions."""

    def refuse(what: str, table: pl.DataFrame, rows: pl.Expr | pl.Series) -> None:
        found = table.filter(rows).select(name for name in PAIR if name in table.columns)
        if len(found):
            examples = ", ".join(str((ids[question], *numbers)) for question, *numbers in found.head(3).iter_rows())
            raise corrupt(path, f"{len(found)} {what}, e.g. {examples}")

    for what, table, key in (("initial answers", answers, ANSWER), ("corrections", pairs, PAIR)):
        if table.select(pl.struct(key).n_unique()).item() < len(table):
            again = pl.struct(key).is_duplicated() & pl.struct(key).is_first_distinct()
            refuse(f"{what} occur twice", table, again)
    planned, parents = pairs["corr_index"].is_between(0, num_corrections - 1), pairs["initial_row"]
    if not planned.all():
        refuse(f"corrections are not numbered 0 to {num_corrections - 1}", pairs, ~planned)
    if parents.null_count():
        refuse("corrections have no initial answer", pairs, parents.is_null())
    initial, corrections = tables
    if not taken(initial["text"], parents).equals(corrected := corrections["initial_answer"].combine_chunks()):
        edited = pl.Series(pc.not_equal(taken(initial["text"], parents), corrected).to_numpy(zero_copy_only=False))
        refuse("corrections are of another text than that of their initial answer", pairs, edited)
    if quarantined or len(pairs) != len(answers) * num_corrections:  # so many are all, having different numbers
        found = answers.join(pairs.group_by(ANSWER).len("found"), on=ANSWER, how="left", maintain_order="left")
        lost = [quarantined[ids[question], j] for question, j in found.select(ANSWER).iter_rows()]
        incomplete = pl.col("found").fill_null(0) + pl.Series(lost, dtype=pl.UInt32) != num_corrections
        refuse(f"initial answers do not have {num_corrections} corrections", found, incomplete)


def with_texts(samples: Samples, known: dict[str, Any]) -> pl.DataFrame:
    """Return the pairs with what is known of texts, an entry for each, as initial_<name> and correction_<name>; and
    answer_number, which texts have in common that are alike but for what a model thinks before it answers."""
    answer_numbers = pa.array(samples.texts).dictionary_encode().indices.to_numpy()
    columns = pl.DataFrame(known | {"answer_number": answer_numbers})
    of_texts = (
        columns[samples.pairs[f"{side}_text_row"]].rename(f"{side}_{{}}".format) for side in ("initial", "correction")
    )
    return pl.concat([samples.pairs, *of_texts], how="horizontal")


def taken(column: pa.ChunkedArray, rows: pl.Series) -> pa.Array:
    """Return the entries of a column in these rows, which are mostly all of them in order."""
    array = column.combine_chunks()
    if np.array_equal(rows.to_numpy(), np.arange(len(array))):
        return array
    return array.take(rows.to_arrow())
