"""The rows as the trainer takes them: token ids and labels, however many there are."""

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from training.preflight import flat

IGNORED = -100  # the label of a token that is not trained


def labeled(rows: pa.Table) -> tuple[datasets.Dataset, np.ndarray, np.ndarray]:
    """Return the rows as input_ids and labels, with one row more that trains nothing; their lengths and trained tokens.

    Labels are given, not derived: TRL's default for rows without them trains the prompt as well.
    """
    ids, mask = flat(rows["input_ids"]), flat(rows["completion_mask"])
    lengths = pc.list_value_length(rows["input_ids"]).to_numpy()
    labels = np.where(mask == 1, ids, IGNORED)
    offsets = row_offsets(np.append(lengths, 1))
    table = pa.table(
        {
            "input_ids": pa.LargeListArray.from_arrays(offsets, np.append(ids, ids[:1])),
            "labels": pa.LargeListArray.from_arrays(offsets, np.append(labels, IGNORED).astype(np.int32)),
        }
    )
    num_trained = np.add.reduceat(mask.astype(np.int64), lengths.cumsum() - lengths)
    return datasets.Dataset(table), lengths, num_trained


def row_offsets(lengths: np.ndarray) -> pa.Array:
    """Where each row begins and the last one ends, in 64 bits: large runs have more than 2^31 tokens."""
    return pa.array(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), pa.int64())


def without_repeats(rows: pa.Table) -> pa.Table:
    """Return the rows without those whose prompt and trained tokens an earlier one has, in their order."""
    columns = [flat(rows[name]) for name in ("input_ids", "completion_mask")]
    ends = pc.list_value_length(rows["input_ids"]).to_numpy().cumsum()
    first: dict[tuple[bytes, ...], int] = {}
    for row, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        first.setdefault(tuple(values[start:end].tobytes() for values in columns), row)
    return rows.take(list(first.values()))


def with_large_lists(table: pa.Table) -> pa.Table:
    """Return the table with offsets of 64 bits in its lists, so that many tables can be put into one."""
    for index, column in enumerate(table.schema):
        if pa.types.is_list(column.type):
            wide = table.column(index).cast(pa.large_list(column.type.value_field))
            table = table.set_column(index, column.name, wide)
    return table
