"""One row of a source becomes a question, or is quarantined with a reason.

Texts are kept byte for byte; only what no later stage could handle is refused. Reason codes: BAD_JSON, BAD_CSV,
BAD_TSV, BAD_ENCODING (the file), MISSING_FIELD, NOT_STRING, NOT_JSON, EMPTY_QUESTION, EMPTY_ANSWERS, TOO_LONG,
CONTROL_CHARACTER, BAD_ID (the row), DEGENERATE_GOLD (no gold alias that an answer could be compared with), DUPLICATE
(not counted as bad).
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any

from data.fields import as_json, as_texts, first_filled, is_blank, listed, values_of
from data.formats import read_rows
from data.tables import MAX_BYTES
from data.unpacking import BadFile, BadRow
from store.fingerprint import digest

ARTICLES = frozenset(("a", "an", "the"))
WORD = re.compile(r"[^\W_]+")  # letters and digits
UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # NUL and lone surrogates: no UTF-8 column holds the latter
MAX_ID = 200


@dataclass(frozen=True)
class Question:
    """A usable row: raw texts, at least one scorable gold alias, and where it comes from. more: {further column: its
    value as JSON}."""

    question_id: str
    question: str
    answers: list[str]
    file: str
    line: int
    more: dict[str, str] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """What makes two questions the same but for case, punctuation, articles and spacing."""
        return text_key(self.question)

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class QuarantinedRow:
    """A row, or one alias of it, that is not used. line counts from 1."""

    file: str
    line: int
    code: str
    detail: str


@dataclass
class Reading:
    """What a file holds: num_rows = questions + quarantined. dropped_aliases are those of questions that are kept."""

    file: str
    questions: list[Question] = field(default_factory=list)
    quarantined: list[QuarantinedRow] = field(default_factory=list)
    dropped_aliases: list[QuarantinedRow] = field(default_factory=list)
    num_rows: int = 0
    unreadable: str | None = None  # why no row of the file can be read

    @property
    def codes(self) -> Counter[str]:
        return Counter(row.code for row in self.quarantined)

    @property
    def num_bad(self) -> int:
        """Rows that cannot be used; a second copy of a usable row is not one."""
        return len(self.quarantined) - self.codes["DUPLICATE"]


def read_questions(
    file: str,
    content: bytes,
    named: str | None,
    source: str,
    columns: Mapping[str, Sequence[str]],
    marker: str | None,
) -> Reading:
    """Every row of a file, either as a Question or quarantined.

    named: the format that the file's name tells. columns: {"id" | "question" | "answers": names, the first that a row
    fills; "more": further columns, all of them; "optional": those of "more" that a row may lack}; dots reach into
    structs and lists, and `a+b` joins two columns. Without an id the row gets `<source>-<hash of question, answers and
    further columns>`. marker: a worked answer's gold is what follows the last one (GSM8K's "####").
    """
    reading = Reading(file)
    for line, record in read_rows(content, named, top_level(columns)):
        reading.num_rows += 1
        try:
            if isinstance(record, BadFile):
                reading.unreadable = record.detail
            if isinstance(record, BadRow):
                raise record
            question = question_text(record, columns["question"])
            given = gold_aliases(record, columns["answers"], marker)
            answers = [alias for alias in given if has_scorable_token(alias)]
            if not answers:
                raise BadRow("DEGENERATE_GOLD", f"{given!r:.200} holds no token that an answer could match")
            optional = {name: None for name in columns.get("optional", ())}
            more = {name: further_column(optional | dict(record), name) for name in columns.get("more", ())}
            made = f"{source}-{digest([question, answers, *more.values()])[:16]}"
            question_id = own_id(record, columns["id"]) or made
        except BadRow as fault:
            reading.quarantined.append(QuarantinedRow(file, line, fault.code, fault.detail))
        else:
            reading.questions.append(Question(question_id, question, answers, file, line, more))
            dropped = [alias for alias in given if alias not in set(answers)]
            reading.dropped_aliases += [
                QuarantinedRow(file, line, "DEGENERATE_GOLD", f"{alias!r:.200}") for alias in dropped
            ]
    return reading


def top_level(columns: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the columns of a file that `columns` may be found in."""
    names = {part for names in columns.values() for name in names for part in name.split("+")}
    return names | {name.partition(".")[0] for name in names}


def question_text(record: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return the question of a record, raw, columns that are joined (`Body+Question`) each on a line of its own; BadRow
    when there is none."""
    name, found = first_filled(record, names)
    if not found:
        raise BadRow("MISSING_FIELD", f"none of {list(names)} is there, it has {sorted(record)!r:.200}")
    if "+" in name and all(isinstance(part, str) for part in found):
        found = ["\n".join(found)]
    if len(found) > 1:
        raise BadRow("NOT_STRING", f"{name} holds {len(found)} values, expected one text: {found!r:.100}")
    value = found[0]
    checked_text(name, value)
    if is_blank(value):
        raise BadRow("EMPTY_QUESTION", f"{name} is {value!r:.100}")
    if len(value.encode()) > MAX_BYTES:
        raise BadRow("TOO_LONG", f"{name} has {len(value.encode()):,} bytes, the limit is {MAX_BYTES:,}")
    return value


def gold_aliases(record: Mapping[str, Any], names: Sequence[str], marker: str | None) -> list[str]:
    """Return a record's gold aliases, raw; BadRow when they are no texts, numbers or booleans, or all blank."""
    name, found = first_filled(record, names)
    if not found:
        raise BadRow("EMPTY_ANSWERS", f"no gold alias in {list(names)}, it has {sorted(record)!r:.200}")
    if len(found) == 1 and isinstance(found[0], str):
        found = listed(name, found[0])
    aliases = [text for value in found for text in as_texts(name, value)]
    for alias in aliases:
        checked_text(name, alias)
    if marker:
        aliases = [behind(marker, alias) for alias in aliases if marker in alias]
    if "+" in name:
        aliases = list(dict.fromkeys(aliases))
    if all(map(is_blank, aliases)):
        raise BadRow("EMPTY_ANSWERS", f"{name} is {found!r:.100}" + (f", without {marker!r}" if marker else ""))
    if sum(len(alias.encode()) for alias in aliases) > MAX_BYTES:
        raise BadRow("TOO_LONG", f"{name} has more than {MAX_BYTES:,} bytes")
    return aliases


def behind(marker: str, worked: str) -> str:
    """Return what follows the last marker in a worked answer; behind one that ends with a brace, as \\boxed{, what is
    in its braces."""
    end = worked.rpartition(marker)[2]
    if marker.endswith("{"):
        depths = accumulate((char == "{") - (char == "}") for char in end.replace("\\{", "__").replace("\\}", "__"))
        closing = next((place for place, depth in enumerate(depths) if depth < 0), len(end))
        end = end[:closing]
    return end.strip()


def further_column(record: Mapping[str, Any], name: str) -> str:
    """Return the value of a column that is neither question nor answers as JSON; BadRow where it is not there or too
    long."""
    text = as_json(record, name)
    if len(text.encode()) > MAX_BYTES:
        raise BadRow("TOO_LONG", f"{name} has {len(text.encode()):,} bytes, the limit is {MAX_BYTES:,}")
    return text


def own_id(record: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """Return the source's own id, None without one; BadRow for one that cannot stand in file names and reports."""
    name, value = next(((name, found[0]) for name in names if (found := values_of(record, name))), ("", None))
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadRow("BAD_ID", f"{name} is a {type(value).__name__}, expected a string or a whole number")
    text = str(value)
    if not 0 < len(text) <= MAX_ID or not text.isprintable() or text != text.strip():
        raise BadRow("BAD_ID", f"{name} is {text!r:.100}, expected 1 to {MAX_ID} printable characters")
    return text


def checked_text(name: str, value: Any) -> None:
    """BadRow unless `value` is a string that UTF-8 can store."""
    if not isinstance(value, str):
        raise BadRow("NOT_STRING", f"{name} holds {value!r:.100}, expected a string")
    found = UNSTORABLE.search(value)
    if found:
        raise BadRow("CONTROL_CHARACTER", f"{name} holds U+{ord(found[0]):04X} at character {found.start() + 1}")


def has_scorable_token(alias: str) -> bool:
    """Whether In-accuracy's normalization leaves something of a gold alias (NFD, lower case, ASCII punctuation to
    space, articles dropped). `A+`, `*` and `The` leave nothing, and nothing is in every answer."""
    if any(word[0].lower() not in ARTICLES for word in WORD.finditer(alias)):  # nearly every alias, 5 times faster
        return True
    text = unicodedata.normalize("NFD", alias).lower()
    blank = {char for char in set(text) if char in string.punctuation or unicodedata.category(char)[0] in "ZC"}
    words = "".join(" " if char in blank else char for char in text).split()
    return not ARTICLES.issuperset(words)


def text_key(text: str) -> str:
    """Return a text's words in lower case, without articles; the text itself where it has no word."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    dropped = {char for char in set(folded) if unicodedata.category(char)[0] not in "LNM"}
    words = "".join(" " if char in dropped else char for char in folded).split()
    return " ".join(word for word in words if word not in ARTICLES) or text.strip()
