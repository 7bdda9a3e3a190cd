"""Which columns a file has, which of them are probably the question and its answers, and the words that choose them."""

import re
import shlex
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from data.fields import is_blank, paths
from data.formats import kind_of, read_rows
from data.tables import parquet_rows
from data.unpacking import BadFile, BadRow, unpacked

SAMPLE = 50  # rows
SHOWN = 60  # characters of an example
QUESTIONS = (
    "question", "question_text", "query", "problem", "prompt.content", "prompt", "input", "instruction", "text",
)  # fmt: skip
ANSWERS = (
    "answers", "answers.text", "answers.aliases", "golden_answers", "gold_answers", "answer.aliases", "answer",
    "answer.value", "possible_answers", "annotations.answer", "reward_model.ground_truth", "ground_truth", "reference",
    "target", "targets", "solution", "label", "gold", "expected", "output", "response", "completion",
)  # fmt: skip
ALIASES = {  # columns that hold further answers
    "answer": ("answer_aliases", "aliases", "answer_alias"),
    "annotations.answer": ("annotations.qaPairs.answer",),
}
MARKER = "####"
PLAIN = re.compile(r"[A-Za-z_][\w.+-]*")


def columns_in(content: bytes, named: str | None) -> dict[str, Any]:
    """Return every column of a file's first rows, structs by dotted names, with the first value that is not blank."""
    try:
        text = unpacked(content)
        usual = {*QUESTIONS, *ANSWERS}  # by which a table without a telling name is known
        if kind_of(text, named, usual) == "Parquet":
            rows = parquet_rows(text, None, SAMPLE)
        else:
            rows = list(islice(read_rows(text, named, usual), SAMPLE))
    except BadFile:
        return {}
    found: dict[str, Any] = {}
    for _, record in rows:
        if not isinstance(record, BadRow):
            for name, value in paths(record):
                found[name] = value if _empty(found.get(name)) else found[name]
    return found


def _empty(value: Any) -> bool:
    return value is None or value == [] or (isinstance(value, str) and is_blank(value))


def guess(columns: Mapping[str, Any]) -> dict[str, str]:
    """Return the likely {"question": name, "answers": name}, joined with aliases, and {"marker"} of a worked answer."""
    spelled = {name.lower(): name for name in columns if not _empty(columns[name])}
    guessed = {}
    for key, candidates in (("question", QUESTIONS), ("answers", ANSWERS)):
        name = next((candidate for candidate in candidates if candidate in spelled), None)
        if name is None:
            continue
        joined = [spelled[alias.lower()] for alias in ALIASES.get(name, ()) if alias.lower() in spelled]
        guessed[key] = "+".join([spelled[name], *joined])
        if key == "answers" and isinstance(columns[spelled[name]], str) and MARKER in columns[spelled[name]]:
            guessed["marker"] = MARKER
    return guessed


def settings_for(chosen: Mapping[str, str], defaults: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the settings that choose columns, as they stand in ARGS; nothing for what `defaults` finds by itself."""
    settings = [
        setting(f"data.columns.{key}", chosen[key], in_list=True)
        for key in ("id", "question", "answers")
        if chosen.get(key) and chosen[key] not in defaults[key]
    ]
    return settings + ([setting("data.answer_marker", chosen["marker"])] if chosen.get("marker") else [])


def setting(key: str, value: str, in_list: bool = False) -> str:
    """Return key=value, or key=[value], quoted for Hydra and for the shell that Make starts."""
    plain = PLAIN if in_list else re.compile(r"[\w./+-]+")
    quoted = value if plain.fullmatch(value) else '"' + re.sub(r'(\\*)"', r'\1\1\\"', value) + '"'
    text = f"{key}=[{quoted}]" if in_list else f"{key}={quoted}"
    return text if quoted == value else shlex.quote(text)


def args_of(settings: Sequence[str]) -> str:
    """Return ARGS="..." for a command line: quoted for the shell and for Make."""
    text = " ".join(settings).replace("$", "$$")
    return 'ARGS="' + re.sub(r'(["\\`$])', r"\\\1", text) + '"'


def listing(columns: Mapping[str, Any]) -> list[str]:
    """Return a line for every column: its name and an example."""
    width = max((len(name) for name in columns), default=0)
    return [f"{name:<{min(width, 30)}}  {shortened(value)}" for name, value in columns.items()]


def shortened(value: Any) -> str:
    """Return a value on one line, escaped, of at most SHOWN characters."""
    text = ascii(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
