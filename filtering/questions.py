"""The questions of a split and their gold aliases: the one place where gold answers meet generated text."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from filtering import flags
from filtering.rewards.texts import Golds

COLUMNS = ("question_id", "question", "answers")


@dataclass(frozen=True)
class Asked:
    """Some questions: their texts, gold aliases and what they share with train, one entry each."""

    table: pa.Table
    texts: list[str]
    answers: list[list[str]]
    shared: list[list[str]]

    @cached_property
    def flags(self) -> np.ndarray:
        """As numbers, uint16; see filtering.flags."""
        return flags.question_flags(self.texts, Golds(self.answers), self.shared)


class Questions:
    """A split's questions by id, as a table and the row of each. shared: {question_id: what it has in common with
    train}, of those that have something."""

    def __init__(self, tables: Iterable[pa.Table], shared: Mapping[str, list[str]]) -> None:
        self._table = pa.concat_tables(tables).combine_chunks()
        self._row = {key: row for row, key in enumerate(self._table["question_id"].to_pylist())}
        self._shared = shared

    def unknown(self, ids: Iterable[str]) -> list[str]:
        """Those of the ids that no question has, in order."""
        return sorted(set(ids) - self._row.keys())

    def asked(self, ids: list[str]) -> Asked:
        """The questions with these ids, in their order."""
        table = self._table.take(pa.array([self._row[key] for key in ids], pa.int64()))
        texts, answers = table["question"].to_pylist(), table["answers"].to_pylist()
        shared = [self._shared.get(key, []) for key in ids]
        return Asked(table, texts, answers, shared)
