"""Strict readers of question files: for every row its record, or the one reason why it cannot be read.

What a file is, its content tells: a gzip or a JSON array under another name is read for what it is. The name decides
where the content leaves a choice. The standard library's JSON takes duplicate keys, NaN and a truncated last line
without a word; here each is a `BadRow` with a code.
"""

import ast
import io
import json
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NoReturn

from data.tables import MAX_BYTES, Row, csv_rows, parquet_rows
from data.unpacking import BadFile, BadRow, unpacked

FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "tsv", ".txt": "tsv",
           ".parquet": "parquet"}  # fmt: skip
PACKED = (".gz", ".zst", ".zstd")
ROWS_KEYS = ("data", "rows", "questions", "examples")  # where a JSON object that is a whole file keeps its rows
ARRAY = re.compile(rb"\s*\[\s*[\[{\]]")
DOCUMENT = re.compile(rb'\s*\{\s*(\n|"(%s|version)"\s*:)' % "|".join(ROWS_KEYS).encode())
DPR = re.compile(rb'[^\t\n]*\t"?\[')
BLANKS = re.compile(r"\s*")


def format_of(name: str) -> str | None:
    """Return the format that a file's name tells, None where it tells none."""
    path = Path(name.lower())
    return FORMATS.get((path.with_suffix("") if path.suffix in PACKED else path).suffix)


def read_rows(content: bytes, named: str | None, columns: Collection[str] | None = None) -> Iterator[Row]:
    """Yield every row of a file as (line, record) or (line, BadRow); blank lines hold no row.

    A file that cannot be read as a whole (a damaged archive, an unknown format) is one BadFile, its only row. columns:
    the top-level names that are wanted, which a Parquet file is read for; None is all.
    """
    try:
        text = unpacked(content)
        kind = kind_of(text, named, columns or ())
        if kind == "Parquet":
            yield from parquet_rows(text, columns)
        elif kind in ("CSV", "TSV"):
            yield from csv_rows(text)
        elif kind == "JSON":
            yield from _json_rows(text)
        else:
            yield from _lines(text, _json_record if kind == "JSONL" else _dpr_record)
    except BadFile as fault:
        yield 1, fault


def kind_of(text: bytes, named: str | None, columns: Collection[str] = ()) -> str:
    """Return what a file's unpacked content is: Parquet, JSON (an array, or objects over several lines), JSONL, CSV,
    TSV, or DPR (question and Python list in a TSV without a header)."""
    first = text.lstrip()[:1]
    if text.startswith(b"PAR1") or (named == "parquet" and first not in (b"{", b"[")):
        return "Parquet"
    if ARRAY.match(text) or DOCUMENT.match(text):
        return "JSON"
    line = text.lstrip().partition(b"\n")[0]
    if first == b"{" and (named not in ("csv", "tsv") or line.rstrip().endswith(b"}")):
        return "JSONL"
    if DPR.match(text):
        return "DPR"
    header = {field.strip(' "\r').lower() for field in re.split("[,;\t]", line.decode("utf-8", "replace"))}
    if named == "tsv":
        return "TSV" if b"\t" in line else "CSV" if header & set(columns) else "DPR"
    if named == "csv" or header & set(columns):
        return "TSV" if b"\t" in line and b"," not in line else "CSV"
    if named is None and text.strip():
        raise BadFile("BAD_ENCODING", f"neither name nor content tells a format; there are {', '.join(FORMATS)}")
    return "JSONL"


def _lines(text: bytes, parse: Callable[[str], dict[str, Any]]) -> Iterator[Row]:
    for number, line in enumerate(io.BytesIO(text), start=1):
        if line.strip():
            yield number, _parsed(line, parse)


def _parsed(line: bytes, parse: Callable[[str], dict[str, Any]]) -> dict[str, Any] | BadRow:
    try:
        text = line.decode("utf-8")
        if text.startswith("\ufeff"):
            raise BadRow("BAD_ENCODING", "begins with a byte order mark in the middle of a file")
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
        raise BadRow("BAD_JSON", f"{error}, in {text!r:.80}") from None
    return _object(record)


def _object(record: Any) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise BadRow("BAD_JSON", f"is a {type(record).__name__}, expected an object: {record!r:.80}")
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


def end_of_blanks(text: str, start: int) -> int:
    """Return where the blanks that begin at `start` end."""
    found = BLANKS.match(text, start)
    return found.end() if found else start


def _json_rows(content: bytes) -> Iterator[Row]:
    """Yield the elements of an array, those under one of ROWS_KEYS of an object, or objects that follow each other."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadFile("BAD_ENCODING", f"is not UTF-8: {error.reason} at byte {error.start}") from None
    values: list[Any] = []
    at = end_of_blanks(text, 0)
    while at < len(text):
        try:
            value, at = _STRICT_JSON.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise BadFile("BAD_JSON", f"is JSON up to value {len(values) + 1}, then not: {error}") from None
        values.append(value)
        at = end_of_blanks(text, at)
    if len(values) == 1 and isinstance(values[0], dict):
        values = [next((values[0][key] for key in ROWS_KEYS if isinstance(values[0].get(key), list)), values[0])]
    if len(values) == 1 and isinstance(values[0], list):
        values = values[0]
    for number, value in enumerate(values, start=1):
        try:
            yield number, _object(value)
        except BadRow as fault:
            yield number, fault


def _dpr_record(text: str) -> dict[str, Any]:
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
