"""Corrections meet their initial answers on ids, with exact accounting: nothing is lost, doubled or mismatched."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filtering.compat import cross_pairs
from store.shards import corrupt


@dataclass(frozen=True)
class Joined:
    """A shard's initial answers (m rows), its corrections (n rows) and the pairs (y1, y2) they form.

    question_ids: those of the shard, each once; initial_questions (m,) and correction_questions (n,): rows of it.
    Pair i has the prompt and the initial answer of correction prompt_rows[i], which is initial answer answer_rows[i],
    and the text of correction correction_rows[i]. Without cross pairing the prompt's row is the correction's own.
    (init_index, corr_index) is the pair's key within its question. These five are int arrays, one entry per pair.
    """

    initial: pa.Table
    corrections: pa.Table
    question_ids: pa.Array
    initial_questions: np.ndarray
    correction_questions: np.ndarray
    answer_rows: np.ndarray
    prompt_rows: np.ndarray
    correction_rows: np.ndarray
    init_index: np.ndarray
    corr_index: np.ndarray

    def __len__(self) -> int:
        return len(self.correction_rows)

    @property
    def pair_questions(self) -> np.ndarray:
        """Rows of question_ids, one per pair."""
        return self.correction_questions[self.correction_rows]

    def where(self, chosen: np.ndarray) -> "Joined":
        """The pairs of a bool mask or of row numbers."""
        names = ("answer_rows", "prompt_rows", "correction_rows", "init_index", "corr_index")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    def pair_ids(self) -> list[tuple[str, int, int]]:
        """(question_id, init_index, corr_index) of every pair."""
        ids = self.question_ids.take(pa.array(self.pair_questions)).to_pylist()
        return list(zip(ids, self.init_index.tolist(), self.corr_index.tolist(), strict=True))


def join(
    path: Path, initial: pa.Table, corrections: pa.Table, num_corrections: int, set_aside: Counter[tuple[str, int]]
) -> Joined:
    """Every correction with its own initial answer, as in Algorithm 1 of arXiv 2503.08681: N_init * N_corr pairs.

    CorruptArtifact names `path` and ids unless every key occurs once, every correction has a parent with the very text
    that it corrects, and every initial answer has num_corrections corrections, those in `set_aside` (by question_id
    and init_index) included.
    """
    ids = pa.chunked_array(initial["question_id"].chunks + corrections["question_id"].chunks, pa.string())
    ids = ids.combine_chunks().dictionary_encode()
    initial_questions, correction_questions = np.split(ids.indices.to_numpy(), [len(initial)])
    init_index, corr_index = (corrections[name].to_numpy() for name in ("init_index", "corr_index"))
    answers = _keys(initial_questions, initial["init_index"].to_numpy())
    parents, parent_of = np.unique(_keys(correction_questions, init_index), return_inverse=True)
    known = np.isin(parents, answers)
    unplanned = (corr_index < 0) | (corr_index >= num_corrections)
    _refuse(path, "initial answers occur twice", initial, _repeated(answers))
    _refuse(path, "corrections occur twice", corrections, _repeated(_keys(parent_of, corr_index)))
    _refuse(path, f"corrections are not numbered 0 to {num_corrections - 1}", corrections, np.flatnonzero(unplanned))
    _refuse(path, "corrections have no initial answer", corrections, np.flatnonzero(~known[parent_of]))
    order = np.argsort(answers)
    answer_rows = order[np.searchsorted(answers, parents, sorter=order)][parent_of]
    corrected = pc.equal(initial["text"].take(pa.array(answer_rows)), corrections["initial_answer"]).to_numpy()
    other = "corrections are of another text than that of their initial answer"
    _refuse(path, other, corrections, np.flatnonzero(~corrected))
    found = np.bincount(answer_rows, minlength=len(initial))
    if set_aside:
        keys = zip(initial["question_id"].to_pylist(), initial["init_index"].to_pylist(), strict=True)
        found += [set_aside[key] for key in keys]
    incomplete = np.flatnonzero(found != num_corrections)
    _refuse(path, f"initial answers do not have {num_corrections} corrections", initial, incomplete)
    rows = np.arange(len(corrections))
    return Joined(
        initial, corrections, ids.dictionary, initial_questions, correction_questions, answer_rows, rows, rows,
        init_index, corr_index,
    )  # fmt: skip


def crossed(joined: Joined, num_corrections: int) -> Joined:
    """Every correction with every initial answer of its question (compat.cross_pairing). corr_index then counts through
    all corrections of the question: init_index * num_corrections + corr_index of the correction itself."""
    prompt_rows, correction_rows = cross_pairs(joined.correction_questions, joined.init_index)
    number = joined.init_index * num_corrections + joined.corr_index
    return replace(
        joined,
        answer_rows=joined.answer_rows[prompt_rows],
        prompt_rows=prompt_rows,
        correction_rows=correction_rows,
        init_index=joined.init_index[prompt_rows],
        corr_index=number[correction_rows],
    )


def _keys(groups: np.ndarray, index: np.ndarray) -> np.ndarray:
    """A number for each (group, index) of int32 range, int64: equal ones alone have the same."""
    return groups.astype(np.int64) << 32 | index.astype(np.uint32)


def _repeated(keys: np.ndarray) -> np.ndarray:
    """The first row of every key that occurs again."""
    if (np.diff(keys) > 0).all():  # as generation writes them
        return np.empty(0, dtype=np.int64)
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    return np.sort(first[counts > 1])


def _refuse(path: Path, what: str, table: pa.Table, rows: np.ndarray) -> None:
    """CorruptArtifact with the keys of some of these rows, where there are any."""
    if len(rows):
        names = [name for name in ("question_id", "init_index", "corr_index") if name in table.column_names]
        some = table.select(names).take(pa.array(rows[:3])).to_pylist()
        examples = ", ".join(str(tuple(key.values())) for key in some)
        raise corrupt(path, f"{len(rows)} {what}, e.g. {examples}")
