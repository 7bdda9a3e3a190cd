"""Read question files that are tables with a header: CSV and TSV, Parquet."""

import csv
import io
import itertools
from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.unpacking import BadFile, BadRow

MAX_BYTES = 1_000_000  # of a question, of its aliases together, and of a CSV field; Natural Questions' longest is 500
DELIMITERS = "\t,;"
Row = tuple[int, dict[str, Any] | BadRow]  # line (JSON arrays and Parquet: row), counted from 1

csv.field_size_limit(MAX_BYTES)


def csv_rows(content: bytes) -> Iterator[Row]:
    """Yield the rows below a CSV file's header as (first line, record). Empty cells are None; the header's most
    frequent of tab, comma and semicolon separates."""
    text = content.decode("utf-8", "surrogateescape")
    header_line = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(DELIMITERS, key=header_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            quote = "; a quote may be left open here" if "unexpected end" in str(error) else ""
            yield line, BadRow("BAD_CSV", f"{error}{quote}")
            continue
        if not any(cells):
            continue
        if header:
            yield line, _csv_record(header, cells)
        else:
            header = [cell.strip() for cell in cells]
            twice = next((name for name in header if name and header.count(name) > 1), None)
            if twice:
                raise BadFile("BAD_CSV", f"its header names the column {twice!r} twice: {header!r:.200}")


def _csv_record(header: list[str], cells: list[str]) -> dict[str, Any] | BadRow:
    if len(cells) != len(header):
        return BadRow("BAD_CSV", f"has {len(cells)} cells, the header has {len(header)}: {cells!r:.100}")
    if any("\udc80" <= char <= "\udcff" for cell in cells if not cell.isascii() for char in cell):
        return BadRow("BAD_ENCODING", "is not UTF-8: save the file as UTF-8")
    return {name: cell or None for name, cell in zip(header, cells, strict=True) if name}


def parquet_rows(content: bytes, columns: Collection[str] | None, limit: int | None = None) -> list[Row]:
    """Return the rows of a Parquet file with the columns named, None is all; with `limit` no more than so many."""
    rows: list[Row] = []
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        present = [name for name in file.schema_arrow.names if columns is None or name in columns]
        size = {"batch_size": limit} if limit else {}
        for batch in itertools.islice(file.iter_batches(columns=present, **size), 1 if limit else None):
            rows += [(len(rows) + i + 1, _parquet_record(batch, i)) for i in range(batch.num_rows)]
    except (pa.ArrowException, OSError) as error:  # the bytes are in memory: an OSError is about their form
        reason = str(error).splitlines()[0]
        raise BadFile("BAD_ENCODING", f"is not a whole Parquet file: {reason}") from None
    return rows


def _parquet_record(batch: pa.RecordBatch, index: int) -> dict[str, Any] | BadRow:
    try:
        return {name: batch.column(name)[index].as_py() for name in batch.schema.names}
    except UnicodeDecodeError as error:  # Arrow does not check the UTF-8 of the files it reads
        return BadRow("BAD_ENCODING", f"is not UTF-8: {error.reason} at byte {error.start}")
