"""Look at a question file before any run.

    python -m data file=my.csv [question=COLUMN] [answers=COLUMN[+COLUMN]] [id=COLUMN] [marker="####"]

Prints what the file is, its columns, which are taken for question and answers, the rows that can be used, the first
reasons why others cannot, and the command that uses it.
"""

import re
from collections import Counter
from pathlib import Path

from data.columns import ANSWERS, QUESTIONS, args_of, columns_in, guess, listing, setting, settings_for, shortened
from data.formats import kind_of
from data.rows import Reading, read_questions
from data.sources import from_path
from data.unpacking import GZIP, ZSTD, unpacked
from store.errors import BadInput, ConfigError

DEFAULTS = {"id": ["question_id", "id"], "question": ["question"], "answers": ["answers", "answer"]}  # of data=local
KEYS = ("question", "answers", "id", "marker")
REASONS = 3
COLUMNS = 30


def look(arguments: dict[str, str]) -> None:
    """Print what was understood of `file`; BadInput where nothing of it could be used."""
    path, given = arguments["file"], {key: arguments[key] for key in KEYS if arguments.get(key)}
    source = from_path("questions", Path(path))
    columns = columns_in(source.content, source.format)
    chosen = guess(columns) | given
    if given.get("answers") and not given.get("marker"):
        chosen.pop("marker", None)
    names = {key: [chosen[key]] if key in chosen else DEFAULTS[key] for key in DEFAULTS}
    reading = read_questions(path, source.content, source.format, "local", names, chosen.get("marker"))
    if reading.unreadable:
        raise BadInput(f"{path} cannot be read: it {reading.unreadable}")
    print(f"{path}: {kind(source.content, source.format)}, {reading.num_rows:,} rows")
    lines = listing(columns)
    print_block("columns", lines[:COLUMNS] + [f"and {len(lines) - COLUMNS:,} more"] * (len(lines) > COLUMNS))
    for key in ("question", "answers"):
        print_block(key, [chosen.get(key) or f"no column looks like it: give {key}=COLUMN"])
    if "marker" in chosen:
        print_block("marker", [f"the gold answer is what follows the last {chosen['marker']}"])
    print_block("usable", [f"{len(reading.questions):,} of {reading.num_rows:,} rows", *refused(reading)])
    for question in reading.questions[:1]:
        print_block("first", [f"{shortened(question.question)} -> {shortened(question.answers)}"])
    if not reading.num_rows:
        raise BadInput(f"{path} has no rows: give a file that has some")
    if not reading.questions or not {"question", "answers"} <= chosen.keys():
        raise BadInput(f"no row of {path} can be used so: give question= and answers= the names of its columns")
    settings = [setting("data.files.questions.path", path), *settings_for(chosen, DEFAULTS)]
    run = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(path).name.partition(".")[0]).strip("-_")[:50] or "mine"
    print(f"To use it:\n  make iterate RUN={run} DATA=local {args_of(settings)}", flush=True)


def kind(content: bytes, named: str | None) -> str:
    """Return what a file is, in words: `CSV`, `gzip of JSONL`."""
    packing = "gzip of " if content.startswith(GZIP) else "zstd of " if content.startswith(ZSTD) else ""
    return packing + kind_of(unpacked(content), named, {*QUESTIONS, *ANSWERS})


def refused(reading: Reading) -> list[str]:
    """Return lines with the first row of each of the commonest reasons, and how many there are."""
    counts: Counter[str] = reading.codes
    firsts = {row.code: row for row in reversed(reading.quarantined)}
    return [
        f"{count:,} {code}, first line {firsts[code].line}: {ascii(firsts[code].detail)[1:-1]:.150}"
        for code, count in counts.most_common(REASONS)
    ]


def print_block(name: str, lines: list[str]) -> None:
    """Print lines with `name` before the first."""
    for number, line in enumerate(lines):
        print(f"  {'' if number else name:<9} {line}")


def arguments_of(argv: list[str]) -> dict[str, str]:
    """Return file=... and the names given beside it; ConfigError for anything else."""
    values = dict(argument.partition("=")[::2] for argument in argv)
    unknown = sorted(values.keys() - {"file", *KEYS})
    if unknown or not values.get("file"):
        usage = f"python -m data file=my.csv [{'=... '.join(KEYS)}=...]"
        raise ConfigError(f"{', '.join(unknown) or 'file'} is no argument or has no value. Usage: {usage}")
    return values
