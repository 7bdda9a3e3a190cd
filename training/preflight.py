"""Whether rows can be trained exactly as they were sampled: checked on every row, before a model is loaded.

A row is the prompt's token ids followed by the correction's. Only the correction is trained (algorithm 1, step 4 of
arXiv 2503.08681), its stop token included, and nothing is ever cut off. A lost end-of-turn token, a shifted mask or
another model's tokenizer all show here.
"""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from store.errors import ConfigError, CorruptArtifact

NUM_NAMED = 3  # rows that a refusal names for every kind of fault

TOO_LONG = "longer than training.max_length"
FAULTS = (
    "its completion_mask and input_ids differ in length, or are empty",
    "its prompt is not a prefix: a trained token stands before one that is not trained",
    "it has no prompt token",
    "it has no trained token",
    "its last token is not one the model stops at",
    "it has a token id outside the model's vocabulary",
    TOO_LONG,
)


@dataclass
class RowCheck:
    """Counts of what was seen; `faults` is {fault: (rows, the first three row names)}."""

    vocab_size: int
    stop_token_ids: frozenset[int]
    max_length: int
    num_rows: int = 0
    num_tokens: int = 0
    num_trained: int = 0
    longest: int = 0
    faults: dict[str, tuple[int, list[str]]] = field(default_factory=dict)

    def add(self, table: pa.Table) -> None:
        """Check a table of rows with the columns of data.schemas.SFT; about 10 million tokens a second."""
        lengths = pc.list_value_length(table["input_ids"]).to_numpy()
        paired = (lengths == pc.list_value_length(table["completion_mask"]).to_numpy()) & (lengths > 0)
        self._note(FAULTS[0], ~paired, table)
        self.num_rows += table.num_rows
        table = table.filter(pa.array(paired))
        if table.num_rows:
            self._add_paired(table, lengths[paired])

    def _add_paired(self, table: pa.Table, lengths: np.ndarray) -> None:
        ids, mask = flat(table["input_ids"]), flat(table["completion_mask"])
        ends = np.cumsum(lengths)
        starts = ends - lengths
        trained = np.add.reduceat(mask.astype(np.int64), starts)
        from_end = np.repeat(ends, lengths) - np.arange(len(ids))  # 1 at a row's last token
        misplaced = mask != (from_end <= np.repeat(trained, lengths))
        outside = (ids < 0) | (ids >= self.vocab_size)
        found = (
            np.logical_or.reduceat(misplaced, starts),
            trained >= lengths,
            trained <= 0,
            ~np.isin(ids[ends - 1], list(self.stop_token_ids)),
            np.logical_or.reduceat(outside, starts),
            lengths > self.max_length,
        )
        for fault, rows in zip(FAULTS[1:], found, strict=True):
            self._note(fault, rows, table)
        self.num_tokens += int(lengths.sum())
        self.num_trained += int(trained.sum())
        self.longest = max(self.longest, int(lengths.max()))

    def _note(self, fault: str, rows: np.ndarray, table: pa.Table) -> None:
        where = np.flatnonzero(rows)
        if len(where):
            count, names = self.faults.get(fault, (0, []))
            names = names + row_names(table.take(where[: NUM_NAMED - len(names)]))
            self.faults[fault] = (count + len(where), names)

    def refuse(self, where: str, remake: str) -> None:
        """Raise when a row cannot be trained: ConfigError when it is only too long, else CorruptArtifact.

        where: the rows' folder. remake: the command that makes those rows.
        """
        if not self.faults:
            return
        lines = [f"{count:,} rows: {fault} ({', '.join(names)})" for fault, (count, names) in self.faults.items()]
        listing = "\n  ".join(lines)
        found = f"{where}: not all of its {self.num_rows:,} rows can be trained as they are:\n  {listing}\n"
        if set(self.faults) == {TOO_LONG}:
            raise ConfigError(
                f"{found}The longest has {self.longest:,} tokens and rows are never cut: give "
                f"training.max_length={self.longest} or more, then run the same command again."
            )
        raise CorruptArtifact(f"{found}Move the folder away and rebuild it: {remake}")


def flat(column: pa.ChunkedArray) -> np.ndarray:
    """Return the values of a list column, one after another."""
    return pc.list_flatten(column).to_numpy()


def row_names(table: pa.Table) -> list[str]:
    """'question_id/init_index/corr_index' of every row: how messages name a row."""
    keys = (table[name].to_pylist() for name in ("question_id", "init_index", "corr_index"))
    return ["/".join(map(str, key)) for key in zip(*keys, strict=True)]
