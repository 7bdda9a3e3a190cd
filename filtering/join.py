"""Corrections meet their initial answers on ids, with exact accounting: nothing is lost, doubled or mismatched."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from data.shards import corrupt
from filtering.compat import cross_pairs


@dataclass(frozen=True)
class Joined:
    """A shard's initial answers (m rows), its corrections (n rows) and the pairs (y1, y2) they form.

    Pair i has the prompt and the initial answer of correction prompt_rows[i], which is initial answer answer_rows[i],
    and the text of correction correction_rows[i]. Without cross pairing the prompt's row is the correction's own.
    (init_index, corr_index) is the pair's key within its question. All five are int arrays, one entry per pair.
    """

    initial: pa.Table
    corrections: pa.Table
    answer_rows: np.ndarray
    prompt_rows: np.ndarray
    correction_rows: np.ndarray
    init_index: np.ndarray
    corr_index: np.ndarray

    def __len__(self) -> int:
        return len(self.correction_rows)

    def where(self, chosen: np.ndarray) -> "Joined":
        """The pairs of a bool mask or of row numbers."""
        names = ("answer_rows", "prompt_rows", "correction_rows", "init_index", "corr_index")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    def pair_ids(self) -> list[tuple[str, int, int]]:
        """(question_id, init_index, corr_index) of every pair."""
        ids = self.corrections["question_id"].to_pylist()
        indices = (self.correction_rows, self.init_index, self.corr_index)
        return [(ids[row], j, k) for row, j, k in zip(*(column.tolist() for column in indices), strict=True)]


def join(
    path: Path, initial: pa.Table, corrections: pa.Table, num_corrections: int, set_aside: Counter[tuple[str, int]]
) -> Joined:
    """Every correction with its own initial answer, as in Algorithm 1 of arXiv 2503.08681: N_init * N_corr pairs.

    CorruptArtifact names `path` and ids unless every key occurs once, every correction has a parent with the very text
    that it corrects, and every initial answer has num_corrections corrections, those in `set_aside` (by question_id
    and init_index) included.
    """
    answers = _keys(initial, "question_id", "init_index")
    keys = _keys(corrections, "question_id", "init_index", "corr_index")
    _refuse(path, "initial answers occur twice", _repeated(answers))
    _refuse(path, "corrections occur twice", _repeated(keys))
    allowed = range(num_corrections)
    _refuse(path, f"corrections are not numbered 0 to {allowed[-1]}", [key for key in keys if key[2] not in allowed])
    row_of = {key: row for row, key in enumerate(answers)}
    _refuse(path, "corrections have no initial answer", [key for key in keys if key[:2] not in row_of])
    answer_rows = np.array([row_of[key[:2]] for key in keys], dtype=np.int64)
    texts = initial["text"].take(pa.array(answer_rows)).to_pylist()
    corrected = corrections["initial_answer"].to_pylist()
    differing = [key for key, text, other in zip(keys, texts, corrected, strict=True) if text != other]
    _refuse(path, "corrections are of another text than that of their initial answer", differing)
    found = Counter(key[:2] for key in keys)
    incomplete = [key for key in answers if found[key] + set_aside[key] != num_corrections]
    _refuse(path, f"initial answers do not have {num_corrections} corrections", incomplete)
    rows = np.arange(len(keys))
    indices = (corrections[name].to_numpy() for name in ("init_index", "corr_index"))
    return Joined(initial, corrections, answer_rows, rows, rows, *indices)


def crossed(joined: Joined, num_corrections: int) -> Joined:
    """Every correction with every initial answer of its question (compat.cross_pairing). corr_index then counts through
    all corrections of the question: init_index * num_corrections + corr_index of the correction itself."""
    question = joined.corrections["question_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    prompt_rows, correction_rows = cross_pairs(question, joined.init_index)
    number = joined.init_index * num_corrections + joined.corr_index
    return replace(
        joined,
        answer_rows=joined.answer_rows[prompt_rows],
        prompt_rows=prompt_rows,
        correction_rows=correction_rows,
        init_index=joined.init_index[prompt_rows],
        corr_index=number[correction_rows],
    )


def _keys(table: pa.Table, *names: str) -> list[tuple]:
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def _repeated(keys: list[tuple]) -> list[tuple]:
    return [key for key, count in Counter(keys).items() if count > 1]


def _refuse(path: Path, what: str, keys: list[tuple]) -> None:
    if keys:
        raise corrupt(path, f"{len(keys)} {what}, e.g. {', '.join(map(str, keys[:3]))}")
