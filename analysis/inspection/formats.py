"""Selected pairs as JSON lines, CSV or Parquet on standard output.

JSON lines and Parquet hold every text exactly. CSV is for eyes and spreadsheets: characters that act on a screen are
shown as code points, and a text that a spreadsheet would run as a formula begins with an apostrophe.
"""

import csv
import json
from collections.abc import Iterable
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.screen import escape_control_characters

FORMULA = ("=", "+", "-", "@", "\t", "＝", "＋", "－", "＠")  # as the first character, half and full width

Selected = Iterable[tuple[int, pa.Table]]  # (iteration, rows), shard by shard


def write_jsonl(selected: Selected, sink: BinaryIO) -> None:
    """Write a JSON object a line, ASCII only: no text acts on the terminal it is shown in."""
    for iteration, table in selected:
        for row in table.to_pylist():
            sink.write(json.dumps({"iteration": iteration} | row).encode() + b"\n")


def write_csv(selected: Selected, sink: BinaryIO) -> None:
    """Write a header and a line per pair, texts quoted, lists as JSON."""
    writer = None
    for iteration, table in selected:
        for row in table.to_pylist():
            if writer is None:
                lines = Lines(sink)
                writer = csv.writer(lines, quoting=csv.QUOTE_NONNUMERIC)
                writer.writerow(["iteration", *row])
            writer.writerow([iteration, *map(cell, row.values())])


def cell(value: object) -> object:
    """Return a value as a spreadsheet may see it."""
    if isinstance(value, list):
        value = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str):
        return value
    text = escape_control_characters(value)
    return f"'{text}" if text.startswith(FORMULA) else text


class Lines:
    """The text file that csv.writer wants, over a binary one."""

    def __init__(self, sink: BinaryIO) -> None:
        self.sink = sink

    def write(self, line: str) -> None:
        self.sink.write(line.encode())


def write_parquet(selected: Selected, sink: BinaryIO) -> None:
    """One Parquet file: the trajectories' columns after `iteration`."""
    writer = None
    for iteration, table in selected:
        column = pa.repeat(pa.scalar(iteration, pa.int32()), len(table))
        numbered = table.add_column(0, pa.field("iteration", pa.int32(), False), [column])
        writer = writer or pq.ParquetWriter(pa.PythonFile(sink, "w"), numbered.schema, compression="zstd")
        writer.write_table(numbered)
    if writer is not None:
        writer.close()


FORMATS = {"jsonl": write_jsonl, "csv": write_csv, "parquet": write_parquet}
