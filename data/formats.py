"""Strict readers of question files: for every row its record, or the one reason why it cannot be read.

The standard library's JSON takes duplicate keys, NaN and a cut-off file's last line without a word; here each is a
`BadRow` with a code. Readers work on the bytes whose sha256 goes into the run's record, so both are the same file.
"""

import ast
import io
import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from store.errors import ConfigError

FORMATS = {".jsonl": "jsonl", ".parquet": "parquet", ".tsv": "tsv", ".txt": "tsv"}
MAX_BYTES = 1_000_000  # of a question, of its aliases together, and of a TSV line; Natural Questions' longest is 500
FOREIGN = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"PAR1": "Parquet",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


class BadRow(ValueError):
    """Why a row cannot be used: a reason code, and what was found in it."""

    def __init__(self, code: str, detail: str):
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


Row = tuple[int, dict[str, Any] | BadRow]  # line (Parquet: row), counted from 1


def format_of(path: Path) -> str:
    """The format that a file's name tells; ConfigError for one that is not read."""
    if path.suffix not in FORMATS:
        raise ConfigError(f"{path}: its name should end in {', '.join(FORMATS)}, so that its format is known")
    return FORMATS[path.suffix]


def read_rows(content: bytes, file_format: str, columns: Collection[str]) -> Iterator[Row]:
    """Every row of a file as (line, record) or (line, BadRow); blank lines hold no row.

    A file that cannot be read as a whole (compressed, UTF-16, damaged Parquet) is one bad row, its only one.
    `columns` are the top-level names that a Parquet file is read for.
    """
    if file_format == "parquet":
        yield from _parquet_rows(content, columns)
        return
    foreign = next((kind for magic, kind in FOREIGN.items() if content.startswith(magic)), None)
    if foreign:
        yield 1, BadRow("BAD_ENCODING", f"the file begins like {foreign}, expected UTF-8 text")
        return
    for number, line in enumerate(io.BytesIO(content), start=1):
        if line.strip():
            yield number, _parsed(line, _LINE_PARSERS[file_format])


def _parsed(line: bytes, parse: Callable[[str], dict[str, Any]]) -> dict[str, Any] | BadRow:
    try:
        text = line.decode("utf-8")
        if text.startswith("\ufeff"):
            raise BadRow("BAD_ENCODING", "begins with a byte order mark, expected UTF-8 without one")
        return parse(text.rstrip("\r\n"))
    except UnicodeDecodeError as error:
        return BadRow("BAD_ENCODING", f"is not UTF-8: {error.reason} at byte {error.start}")
    except BadRow as fault:
        cut_off = "" if line.endswith(b"\n") else "; no line end follows, so the file may be cut off here"
        return BadRow(fault.code, fault.detail + cut_off)


def _json_record(text: str) -> dict[str, Any]:
    try:
        record = _STRICT_JSON.decode(text)
    except (ValueError, RecursionError) as error:
        raise BadRow("BAD_JSON", str(error)) from None
    if not isinstance(record, dict):
        raise BadRow("BAD_JSON", f"is a {type(record).__name__}, expected an object")
    return record


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} occurs twice")
    return record


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_STRICT_JSON = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_no_constant)


def _tsv_record(text: str) -> dict[str, Any]:
    """`question<TAB>python list of strings`, either in CSV quotes: the form of DPR's question files."""
    if len(text) > MAX_BYTES:
        raise BadRow("TOO_LONG", f"{len(text):,} characters in a line, the limit is {MAX_BYTES:,}")
    fields = text.split("\t")
    if len(fields) != 2:
        raise BadRow("BAD_TSV", f"has {len(fields)} tab-separated fields, expected question and answers")
    question, answers = map(_unquoted, fields)
    try:
        return {"question": question, "answers": ast.literal_eval(answers)}
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise BadRow("BAD_TSV", f"the answers are not a Python list ({error})") from None


def _unquoted(field: str) -> str:
    quoted = len(field) > 1 and field[0] == field[-1] == '"'
    return field[1:-1].replace('""', '"') if quoted else field


_LINE_PARSERS = {"jsonl": _json_record, "tsv": _tsv_record}


def _parquet_rows(content: bytes, columns: Collection[str]) -> list[Row]:
    rows: list[Row] = []
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        present = [name for name in file.schema_arrow.names if name in columns]
        for batch in file.iter_batches(columns=present):
            rows += [(len(rows) + i + 1, _parquet_record(batch, i)) for i in range(batch.num_rows)]
    except (pa.ArrowException, OSError) as error:  # the bytes are in memory: an OSError is about their form
        return [(1, BadRow("BAD_ENCODING", f"is not a whole Parquet file: {str(error).splitlines()[0]}"))]
    return rows


def _parquet_record(batch: pa.RecordBatch, index: int) -> dict[str, Any] | BadRow:
    try:
        return {name: batch.column(name)[index].as_py() for name in batch.schema.names}
    except UnicodeDecodeError as error:  # Arrow does not check the UTF-8 of the files it reads
        return BadRow("BAD_ENCODING", f"is not UTF-8: {error.reason} at byte {error.start}")
