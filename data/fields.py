"""Find what a record holds under a column's name, and turn it into texts.

A name reaches into structs and through lists with dots (`answers.text`), and `answer+aliases` joins two columns.
"""

import ast
import datetime
import decimal
import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data.unpacking import BadRow

BOOLEANS = {True: ["yes", "true"], False: ["no", "false"]}
LIST_TEXT = re.compile(r"""\s*\[\s*(["'].*["']\s*,?\s*)?\]\s*""", re.DOTALL)
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # as JSON writes it
SIDE_BY_SIDE = re.compile(r"""(?<=["'])\s+(?=["'])""")  # how numpy writes a list: ['a' 'b']


def first_filled(record: Mapping[str, Any], names: Sequence[str]) -> tuple[str, list[Any]]:
    """Return (name, values) of the first of `names` under which the record has more than blanks; else of the first that
    is there at all, else ("", [])."""
    there = [(name, found) for name in names if (found := values_of(record, name))]
    filled = (item for item in there if not all(isinstance(value, str) and is_blank(value) for value in item[1]))
    return next(filled, there[0] if there else ("", []))


def values_of(record: Mapping[str, Any], name: str) -> list[Any]:
    """Return everything under a name, lists flattened, without nulls."""
    return [value for part in name.split("+") for value in _leaves(record, part.split("."))]


def _leaves(value: Any, parts: Sequence[str]) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item, parts)
    elif not parts:
        if value is not None and value != {} and not (isinstance(value, float) and math.isnan(value)):
            yield value
    else:
        if isinstance(value, str) and value.lstrip().startswith("{"):  # a struct written as JSON text, in a CSV cell
            value = _json_or_none(value)
        if isinstance(value, Mapping):
            for stop in range(len(parts), 0, -1):  # a column may have a dot in its own name
                if (key := ".".join(parts[:stop])) in value:
                    yield from _leaves(value[key], parts[stop:])
                    return


def _json_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def listed(name: str, text: str) -> list[Any]:
    """Return the elements of a list of strings that was written as text, in JSON or Python; any other text is its own
    only one. BadRow for one that has no commas or cannot be read."""
    if not LIST_TEXT.fullmatch(text):
        return [text]
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        if SIDE_BY_SIDE.search(text):
            raise BadRow("NOT_STRING", f"{name} is a list without commas, as numpy prints it: {text!r:.100}") from None
        try:
            found = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise BadRow("NOT_STRING", f"{name} is a list written as text, not JSON or Python: {text!r:.100}") from None
    return list(_leaves(found, ()))


def as_json(record: Mapping[str, Any], name: str) -> str:
    """Return the value of a record's column as JSON, null where it is empty; BadRow for a column that is not there and
    for what JSON or UTF-8 cannot hold."""
    if name not in record:
        raise BadRow("MISSING_FIELD", f"there is no {name}, it has {sorted(record)!r:.200}")
    value = record[name]
    try:
        text = json.dumps(
            None if isinstance(value, float) and math.isnan(value) else value,
            ensure_ascii=False, allow_nan=False, default=_plain,
        )  # fmt: skip
        text.encode()
        if NUL.search(text):
            raise ValueError("U+0000 is in it")
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRow("NOT_JSON", f"{name} holds {value!r:.100}, which cannot be kept as JSON ({error})") from None
    return text


def _plain(value: Any) -> str:
    if isinstance(value, decimal.Decimal | datetime.date | datetime.datetime):
        return str(value)
    raise TypeError(f"it is a {type(value).__name__}")


def as_texts(name: str, value: Any) -> list[str]:
    """Return a gold answer as text: a boolean as yes and true, 3.0 as 3; BadRow for a struct."""
    if isinstance(value, bool):
        return BOOLEANS[value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return [str(int(value))]
    if isinstance(value, int | float | decimal.Decimal):
        return [str(value)]
    if isinstance(value, datetime.date | datetime.datetime):
        return [value.isoformat()]
    if isinstance(value, Mapping):
        fields = ", ".join(f"{name}.{field}" for field in value)
        raise BadRow("NOT_STRING", f"{name} holds structs: name a field of them, one of {fields:.200}")
    return [value]


def paths(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every dotted name of a record with what is under it, structs in lists included."""
    for key, value in record.items():
        name = f"{prefix}{key}"
        structs = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, Mapping)]
        for struct in structs:
            yield from paths(struct, f"{name}.")
        if not structs:
            yield name, value


def is_blank(text: str) -> bool:
    """Whether a text has nothing to see: only separators, control and format characters."""
    return all(unicodedata.category(char)[0] in "ZC" for char in text)
