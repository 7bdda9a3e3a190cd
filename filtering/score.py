"""See a reward at work on texts of your own.

    python -m filtering.score reward=answer_match file=cases.jsonl [text=text] [golds=golds] [label=label]

`file` has a JSON object a line: a generated text, and the gold answer or a list of them, under these names. Prints for
each its number, score, final answer and the gold answer that fits, or why none does. With a label column (the score
that a person gives) it also says where the two agree, and lists in the end where they do not. Writes nothing.

    python -m filtering.score reward=python reward.function=my_reward.py:score reward.columns=[level] file=cases.jsonl

gives a function of yours the texts, the golds, `question` where a line has one, and the columns named, all at once.
With reward=unit_tests a line has its tests too, `test_list` say.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from conf.judges import JUDGE
from conf.reward_file import OWN, UNIT_TESTS, WEIGHTED, check_reward
from filtering.rewards import GOLD_PROBLEMS, REWARDS, own, require_known, unit_tests
from filtering.rewards.own import TIMEOUT, Function
from filtering.rewards.texts import Texts
from store.errors import BadInput, ConfigError, stage_main

USAGE = (
    "Usage: python -m filtering.score reward=answer_match file=cases.jsonl [text=COLUMN] [golds=COLUMN] [label=COLUMN]"
)
COLUMNS = ("text", "golds", "label")
OF_FUNCTION = ("reward.function", "reward.columns")
SHOWN = 60  # characters of a final answer
TOLERANCE = 0.005  # between a score and its label


class Case(NamedTuple):
    line: int
    text: str
    golds: list[str]
    label: float | None
    row: dict[str, Any]  # all of the line


def main(argv: list[str]) -> None:
    arguments = {name: name for name in COLUMNS}
    for argument in argv:
        key, equals, value = argument.partition("=")
        if not equals or key not in ("reward", "file", *OF_FUNCTION, *arguments):
            raise ConfigError(f"{argument!r} is not an argument. {USAGE}")
        arguments[key] = value
    if not {"reward", "file"} <= arguments.keys():
        raise ConfigError(f"reward= and file= are needed. {USAGE}")
    require_known([arguments["reward"]])
    if arguments["reward"] == JUDGE:
        raise ConfigError(f"reward={JUDGE} asks a model: look at a run's with `python -m analysis.agreement run=<run>`")
    if arguments["reward"] == WEIGHTED:
        raise ConfigError(f"reward={WEIGHTED} is made of others: look at each of them with this command")
    check_reward([arguments["reward"]], arguments.get("reward.function"))
    path = Path(arguments["file"])
    if not path.is_file():
        raise BadInput(f"{path} is no file: give file= a JSONL file")
    cases = list(read(path, *(arguments[key] for key in COLUMNS)))
    by_function = None
    if arguments["reward"] == UNIT_TESTS:
        tests = [unit_tests.tested(case.row | {"answers": case.golds}) for case in cases]
        by_function = unit_tests.score([case.text for case in cases], tests).tolist()
    if arguments["reward"] == OWN:
        columns = [name.strip() for name in arguments.get("reward.columns", "").strip("[]").split(",") if name.strip()]
        by_function = scored_by(Function.of(arguments["reward.function"], columns, TIMEOUT), path, cases)
    for line in described(arguments["reward"], cases, by_function):
        print(line, flush=True)


def scored_by(function: Function, path: Path, cases: list[Case]) -> list[float]:
    """Return a function's scores of the cases; BadInput where one lacks a column that it takes."""
    for name in function.columns:
        if lacking := [case for case in cases if name not in case.row]:
            raise BadInput(f"{path}, line {lacking[0].line}: it has no {name!r} but {sorted(lacking[0].row)}")
    columns = {name: [case.row[name] for case in cases] for name in function.columns}
    questions = [str(case.row.get("question", "")) for case in cases]
    texts, golds = Texts(case.text for case in cases), [case.golds for case in cases]
    rows = own.Rows(questions, texts, golds, columns, str(path), lambda row: f"line {cases[row].line}")
    return own.score(function, rows).tolist()


def read(path: Path, text: str, golds: str, label: str) -> Iterator[Case]:
    """Yield the cases of a JSONL file; BadInput names the line that is none."""
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            try:
                yield _case(number, json.loads(line.decode("utf-8-sig")), text, golds, label)
            except (ValueError, RecursionError) as error:  # of JSON, UTF-8 and of _case
                raise BadInput(f"{path}, line {number}: {error}") from None


def _case(number: int, row: Any, text: str, golds: str, label: str) -> Case:
    """Return a row as a case; ValueError says what is missing."""
    if not isinstance(row, dict):
        raise ValueError(f"it holds a {type(row).__name__}, a JSON object was expected")
    for name in (text, golds):
        if name not in row:
            raise ValueError(f"it has no {name!r} but {sorted(row)}: name the columns with text= and golds=")
    aliases = row[golds] if isinstance(row[golds], list) else [row[golds]]
    aliases = [str(alias) if isinstance(alias, int | float) else alias for alias in aliases]
    if not isinstance(row[text], str) or not aliases or not all(isinstance(alias, str) for alias in aliases):
        raise ValueError(f"{text!r} must be a text, and {golds!r} one or a list of them")
    if not isinstance(row.get(label), int | float | None):
        raise ValueError(f"{label!r} is {row[label]!r}, expected a number")
    return Case(number, row[text], aliases, None if row.get(label) is None else float(row[label]), row)


def described(reward: str, cases: list[Case], by_function: list[float] | None) -> Iterator[str]:
    """Yield a line for each case, then how often score and label agree, and the lines where they do not. by_function:
    the scores, where a function of the user's has given them."""
    different, num_labeled = [], 0
    answers = Texts(case.text for case in cases).final
    for number, (case, answer) in enumerate(zip(cases, answers, strict=True)):
        score, why = _scored(reward, case) if by_function is None else (by_function[number], f"of {case.golds!r:.200}")
        line = f"{case.line}: {score:.3g}  {answer!r:.{SHOWN}}  {why}"
        yield line
        if case.label is not None:
            num_labeled += 1
            if not abs(score - case.label) < TOLERANCE:  # nor where it is NaN
                different.append(f"  {line}; label {case.label:g}")
    if num_labeled:
        share = 1 - len(different) / num_labeled
        yield f"{reward} and the labels agree on {num_labeled - len(different):,} of {num_labeled:,} ({share:.1%})"
        yield from different


def _scored(reward: str, case: Case) -> tuple[float, str]:
    """Return a case's score and the alias that gives it, or why none does."""
    try:
        score = _score(reward, case.text, case.golds)
        if score > 0:
            return score, f"fits {next(alias for alias in case.golds if _fits(reward, case.text, alias, score))!r}"
    except BadInput as error:
        return math.nan, str(error)
    if math.isnan(score):
        return score, "could not be scored"
    unusable = [problem for alias in case.golds if (problem := GOLD_PROBLEMS.get(reward, _no_problem)(alias))]
    if len(unusable) == len(case.golds):
        return score, f"gold answer {case.golds[0]!r:.200} {unusable[0]}"
    if not Texts([case.text])[0]:
        return score, "nothing stands behind its thoughts"
    return score, f"fits none of {case.golds!r:.200}"


def _fits(reward: str, text: str, alias: str, score: float) -> bool:
    return not GOLD_PROBLEMS.get(reward, _no_problem)(alias) and _score(reward, text, [alias]) == score


def _no_problem(alias: str) -> None:
    """Say nothing: a reward without an entry in GOLD_PROBLEMS takes every alias."""


def _score(reward: str, text: str, golds: list[str]) -> float:
    return float(REWARDS[reward]([text], [golds])[0])


if __name__ == "__main__":
    stage_main(main)
