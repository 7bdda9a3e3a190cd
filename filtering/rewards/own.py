"""The reward `python`: a function of the user's (reward.function=FILE.py:FUNCTION), which scores one shard at a time.

It runs in a process of its own (filtering.own_process), started for the shard and ended with it, never in the one that
holds the run's lock and writes its tables. Whatever becomes of that process is said in a ConfigError that names the
function, the shard and, where it can be known, the row: all rows are then given to the function once more, each alone.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conf.reward_file import read_function
from store.errors import ConfigError
from store.fingerprint import digest_bytes

TIMEOUT = 600  # seconds


@dataclass(frozen=True)
class Function:
    """A function of the user's. content: of its file, which is what is run: an edit amid a stage changes nothing.
    columns: further columns of the questions that it takes. timeout: seconds for a shard."""

    file: str
    name: str
    content: str
    columns: list[str] = field(default_factory=list)
    timeout: int = TIMEOUT

    @classmethod
    def of(cls, function: str, columns: list[str], timeout: int) -> "Function":
        """Read FILE.py:FUNCTION; ConfigError where it is not there."""
        file, content, name = read_function(function)
        return cls(file, name, content, columns, timeout)

    @property
    def identity(self) -> dict[str, Any]:
        """Return what decides its scores: the file's content, wherever it lies."""
        return {"sha256": digest_bytes(self.content.encode()), "name": self.name, "columns": self.columns}


@dataclass(frozen=True)
class Rows:
    """n rows that a function scores. columns: {name: n values}. place: where they are from; name: of a row."""

    questions: list[str]
    texts: list[str]
    golds: list[list[str]]
    columns: dict[str, list[Any]]
    place: str
    name: Callable[[int], str]


def score(function: Function, rows: Rows) -> np.ndarray:
    """Return the function's scores, float32 of shape (n,); ConfigError where it gives none."""
    if not rows.texts:
        return np.zeros(0, np.float32)
    found = run(function, rows)
    if "scores" in found:
        return np.array(found["scores"], np.float32)
    if "row" not in found and found["in_call"]:
        alone = run(function, rows, one_by_one=True)
        found = alone if "scores" not in alone else found
    where = f", {rows.name(found['row'])}" if "row" in found else ""
    raise ConfigError(
        f"reward.function={function.file}:{function.name}, {rows.place}{where}: {found['problem']}. Fix "
        f"{function.file} and run the same command again"
    )


def run(function: Function, rows: Rows, one_by_one: bool = False) -> dict[str, Any]:
    """Return the {"scores"} of a process of its own; or the {"problem"}, whether it arose {"in_call"}, and the {"row"}
    where it is known."""
    asked = {
        "file": function.file, "content": function.content, "name": function.name, "one_by_one": one_by_one,
        "arguments": [rows.questions, rows.texts, rows.golds], "columns": rows.columns,
    }  # fmt: skip
    with tempfile.TemporaryFile() as request, tempfile.TemporaryFile() as result:
        request.write(json.dumps(asked).encode())
        request.seek(0)
        numbers = [request.fileno(), result.fileno()]
        command = [sys.executable, "-m", "filtering.own_process", *map(str, (*numbers, os.getpid()))]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=2, pass_fds=numbers, start_new_session=True
        )  # what it prints goes where errors go
        try:
            ended = how_it_ended(process.wait(function.timeout))
        except subprocess.TimeoutExpired:
            ended = f"it was not done after {function.timeout:,} s: make it faster, or give reward.timeout=<seconds>"
        finally:
            process.kill()
            process.wait()
        result.seek(0)
        try:
            said = json.loads(result.read())
        except ValueError:  # killed before it could say anything, or amid that
            said = {"in_call": False}
    return said if said.keys() & {"scores", "problem"} else said | {"problem": ended}


def how_it_ended(code: int) -> str:
    """Say how a process ended that left no scores."""
    if code >= 0:
        return f"its process ended with exit code {code} before it had returned"
    memory = ", as the kernel does where memory runs out" if -code == signal.SIGKILL else ""
    return f"its process was ended by {signal.Signals(-code).name}{memory} before it had returned"
