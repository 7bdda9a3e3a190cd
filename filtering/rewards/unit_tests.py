"""The reward `unit_tests`: the share of a question's tests that the program in a text passes, run in a sandbox.

The tests are further columns of the question (data.columns.more), as MBPP and HumanEval name theirs: `test_list`, with
`test_setup_code` where there is one; or `test`, which defines check(candidate), with `entry_point`, and `prompt`, the
code that the program goes on from. A gold answer of such a question is a program that is right.
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from filtering.sandbox.bubblewrap import Task, passed
from store.errors import BadInput

FENCE = re.compile(r"( *)(```+|~~~+)(.*)")


COLUMNS = ("test_list", "test_setup_code", "test", "entry_point", "prompt")


class Tested(NamedTuple):
    """What a question has of tests. before: the code that every program of it goes on from."""

    task: Task
    before: str = ""


def of_questions(questions: pa.Table) -> list[Tested]:
    """Return the tests of every question of a table."""
    return list(map(of_row, questions.to_pylist()))


def of_row(question: Mapping[str, Any]) -> Tested:
    """Return the tests of a question as it is stored, its further columns as JSON."""
    more = {name: json.loads(question[name]) for name in COLUMNS if name in question}
    return tested(more | {"answers": question["answers"]})


def tested(row: Mapping[str, Any]) -> Tested:
    """Return the tests of a row with `answers` and some of COLUMNS; none where it has none. BadInput for what is no
    text."""
    found = {name: row[name] for name in COLUMNS if row.get(name)}
    listed = found.get("test_list", [])
    for name, value in found.items():
        if not all(
            isinstance(text, str) for text in (value if name == "test_list" and isinstance(value, list) else [value])
        ):
            raise BadInput(f"{name} holds {value!r:.100}: a text was expected, or in test_list a list of them")
    if listed:
        tests = [listed] if isinstance(listed, str) else listed
        names, imports = defined(row["answers"][0])
        return Tested(Task(tests, f"{imports}\n{found.get('test_setup_code', '')}", names))
    if not {"test", "entry_point"} <= found.keys():
        return Tested(Task([], "", []))
    name, before = found["entry_point"], found.get("prompt", "")
    return Tested(Task([f"{found['test']}\ncheck({name})"], before, [name]), before)


def defined(solution: str) -> tuple[list[str], str]:
    """Return the names that a program defines at its top level, which its tests take from it, and its imports there,
    which are there for the tests too; neither of what is no program."""
    names, imports = [], []
    try:
        nodes = ast.parse(solution).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [], ""
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(ast.unparse(node))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
        else:
            named = (part for part in ast.walk(node) if isinstance(part, ast.Name))
            names += [part.id for part in named if isinstance(part.ctx, ast.Store)]
    return names, "\n".join(imports)


def score(texts: Sequence[str], questions: Sequence[Tested]) -> np.ndarray:
    """Return the share of tests that the program in each of n texts passes, float32 of shape (n,), NaN where there are
    none. Texts of a question that hold the same program run it once. questions: one for each text."""
    shares: dict[tuple[int, str], float] = {}
    for text, asked in zip(texts, questions, strict=True):
        key = (id(asked), program_in(text))
        if key not in shares:
            shares[key] = share(program_in(text), asked)
    return np.array(
        [shares[id(asked), program_in(text)] for text, asked in zip(texts, questions, strict=True)], np.float32
    )


def share(program: str, asked: Tested) -> float:
    """Return the share of tests that a program passes, NaN where there are none."""
    if not asked.task.tests:
        return float("nan")
    verdicts = passed(f"{asked.before}\n{program}", asked.task)
    return sum(verdicts) / len(verdicts)


def program_in(text: str) -> str:
    """Return the last block of code between fences that is not blank, which perhaps is not closed; the whole text where
    there is none."""
    blocks: list[list[str]] = []
    opened = None
    for line in text.split("\n"):
        fence = FENCE.match(line)
        if opened is None and fence:
            opened = fence
            blocks.append([])
        elif opened is not None and fence and fence[2].startswith(opened[2]) and not fence[3].strip():
            opened = None
        elif opened is not None:
            indent = len(opened[1])
            blocks[-1].append(line[indent:] if line[:indent].isspace() else line)
    programs = ["\n".join(block) for block in blocks]
    return next((program for program in reversed(programs) if program.strip()), text)
