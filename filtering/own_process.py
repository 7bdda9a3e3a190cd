"""The process in which a function of the user's scores the texts of one shard; filtering.rewards.own starts it.

    python -m filtering.own_process 5 6 1234        an open file to read from, one to write to, its parent

Reads {"file", "content", "name"} of the function, its "arguments" and "columns", and "one_by_one". Writes {"scores"} or
what filtering.rewards.own.run returns instead; while the function works, what is known should it not come back.
"""

import contextlib
import json
import math
import os
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from store.processes import die_with_parent, start_guard

ROUNDING = 1e-6  # beyond 0 and 1, of sums in floating point
Say = Callable[..., None]


def main(request: int, result: int, parent: int) -> None:
    die_with_parent()
    if os.getppid() != parent:  # it has died already
        return
    start_guard()  # what the function starts ends with it
    with contextlib.suppress(OSError):  # where memory runs out, this process is the one to end
        Path("/proc/self/oom_score_adj").write_text("1000")

    def say(**known: Any) -> None:
        content = json.dumps(known).encode()
        os.ftruncate(result, 0)
        os.pwrite(result, content, 0)

    with open(request, encoding="utf-8") as file:
        asked = json.load(file)
    say(in_call=False)
    with contextlib.suppress(Said):
        say(scores=scored(asked, say))


class Said(Exception):
    """What is wrong has been written."""


def scored(asked: dict[str, Any], say: Say) -> list[float]:
    """Return a number for each row; Said where there is none."""
    try:
        function = loaded(**{key: asked[key] for key in ("file", "content", "name")})
    except BaseException as error:
        say(in_call=False, problem=f"the file cannot be loaded: {described(error, asked['file'])}")
        raise Said from None
    arguments, columns = asked["arguments"], asked["columns"]
    count = len(arguments[0])
    if not asked["one_by_one"]:
        return called(function, arguments, columns, count, asked["file"], say)
    scores = []
    for row in range(count):
        one = [column[row : row + 1] for column in arguments]
        more = {name: column[row : row + 1] for name, column in columns.items()}
        scores += called(function, one, more, 1, asked["file"], say, row=row)
    return scores


def loaded(file: str, content: str, name: str) -> Any:
    """Return the function of a file with this content; modules beside the file can be imported."""
    path = Path(file).resolve()
    sys.path.insert(0, str(path.parent))
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)
    sys.modules[path.stem] = module  # as import would: classes in it can be pickled
    exec(compile(content, file, "exec", dont_inherit=True), module.__dict__)
    function = getattr(module, name)
    if not callable(function):
        raise TypeError(f"{name} is a {type(function).__name__}, a function was expected")
    return function


def called(
    function: Callable, arguments: list, columns: dict, count: int, file: str, say: Say, **row: int
) -> list[float]:  # fmt: skip
    """Return the scores of one call; Said where it raises, or returns something else."""
    say(in_call=True, **row)
    try:
        found = function(*arguments, **columns)
    except BaseException as error:
        say(in_call=True, problem=f"it raised {described(error, file)}", **row)
        raise Said from None
    expected = f"{count} numbers from 0 to 1, or NaN, were expected"
    values = None if isinstance(found, str | bytes | dict | set) else listed(found)
    if values is None or len(values) != count:
        what = f"a value of type {type(found).__name__}" if values is None else f"{len(values)} values"
        say(in_call=False, problem=f"it returned {what}: {expected}", **row)
        raise Said
    scores = []
    for number, value in enumerate(values):
        score = as_score(value)
        if score is None:
            say(in_call=False, problem=f"it returned {value!a:.100}: {expected}", **{"row": number} | row)
            raise Said
        scores.append(score)
    return scores


def listed(found: Any) -> list | None:
    """Return what a function returned as a list, None where it is none."""
    try:
        return list(found)
    except TypeError:
        return None


def as_score(value: Any) -> float | None:
    """Return a number of [0, 1], or NaN; None for anything else. A number of numpy's or torch's is one."""
    try:
        number = math.inf if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError):
        return None
    if math.isnan(number):
        return number
    return min(max(number, 0.0), 1.0) if -ROUNDING <= number <= 1 + ROUNDING else None


def described(error: BaseException, file: str) -> str:
    """Return what an exception says on one line, and the line of the file that it comes from."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    where = f" ({file}, line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {ascii(str(error))[1:-1]:.300}{where}"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
