"""Look at a run's trajectories in the terminal, or hand them to another tool.

    python -m analysis.inspection run=demo iteration=2 split=test transition=i-c kept=yes words="new york" limit=5
    python -m analysis.inspection run=demo question=nq-0123abcd                  one question at every checkpoint
    python -m analysis.inspection run=demo format=csv > pairs.csv                jsonl, csv or parquet: all pairs

Every argument but `run` may be left out. `limit` is of pairs shown per transition, 0 is all. Reads runs/demo/ and
writes nothing.
"""

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable

from analysis.inspection.formats import FORMATS
from analysis.inspection.selection import Selection, one_of, parse_selection, read_selected
from analysis.inspection.text import Style, collect, describe
from store.errors import ConfigError, stage_main
from store.run import Run, stage_arguments

OPTIONAL = {
    "split": "", "iteration": "", "transition": "", "kept": "", "question": "", "words": "", "limit": "5",
    "format": "text",
}  # fmt: skip
ALL = sys.maxsize


def main(argv: list[str]) -> None:
    defaults = [f"{key}={value}" for key, value in OPTIONAL.items()]
    values = stage_arguments([*defaults, *argv], "analysis.inspection", "run", *OPTIONAL)
    run, selection = Run(values["run"]), parse_selection(values)
    one_of("format", values["format"], ("text", *FORMATS))
    try:
        if values["format"] == "text":
            show(run, selection, values["limit"])
        else:
            export(run, selection, values["format"])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, head or a pager, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show(run: Run, selection: Selection, limit: str) -> None:
    """Show the pairs as text, through a pager on a terminal."""
    if not limit.isdecimal():
        raise ConfigError(f"limit={limit!r} was given, a number of pairs was expected (0 is all)")
    found = collect(read_selected(run, selection), int(limit) or ALL)
    terminal = sys.stdout.isatty()
    lines = describe(run.name, found, Style(terminal and "NO_COLOR" not in os.environ))
    if not (terminal and page(lines)):
        print(*lines, sep="\n")


def page(lines: Iterable[str]) -> bool:
    """Show the lines in $PAGER, or in less; False where there is none."""
    command = shlex.split(os.environ.get("PAGER", "less"))
    environment = {"LESS": "FRX"} | dict(os.environ)  # as git does: colors, and no paging of a single screen
    try:
        pager = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, text=True, encoding="utf-8")
    except (FileNotFoundError, IndexError):
        return False
    assert pager.stdin is not None  # stdin=PIPE
    with contextlib.suppress(BrokenPipeError), pager.stdin as sink:
        sink.writelines(f"{line}\n" for line in lines)
    pager.wait()
    return True


def export(run: Run, selection: Selection, name: str) -> None:
    """All selected pairs to standard output."""
    if name == "parquet" and sys.stdout.isatty():
        raise ConfigError("Parquet is not for a terminal: send it to a file, `... format=parquet > pairs.parquet`")
    FORMATS[name](read_selected(run, selection), sys.stdout.buffer)


if __name__ == "__main__":
    stage_main(main)
