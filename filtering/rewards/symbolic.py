"""MATH's reward: the final answer as an expression, compared by math-verify."""

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from filtering.rewards import latex
from filtering.rewards.final_answer import final_answer
from filtering.rewards.texts import score_each, usable_golds
from store.errors import ConfigError

DELIMITED = re.compile(r"\$|\\\(|\\\[|\\boxed")
COMMAND = re.compile(r"\\[a-zA-Z]+")
UNIT = re.compile(r"(?<=\d)(?:\s*(?:[kcmn]m|[km]g|min|hr)|\s+[a-z])s?(?:\^?\{?\d\}?)?$")  # no unit: 12x
WORD = re.compile(r"[^\W\d_]{3,}")


def symbolic(texts: Sequence[str], golds: Sequence[Sequence[str]]) -> np.ndarray:
    """Score 1 where the final answer is mathematically equal to a gold; NaN where comparing failed or took 5 s.

    A gold alias that math-verify cannot read is left out; BadInput where it can read none. ConfigError where it is not
    installed.
    """
    parse, verify, time_out = _math_verify()

    def score(answer: str, aliases: Sequence[str]) -> float:
        parsed_golds = usable_golds(aliases, _parsed_gold, not_readable)
        if _words(answer) in map(_words, aliases):
            return 1
        try:
            parsed = parse(as_expression(answer), raise_on_error=True)
            return any(verify(gold, parsed, raise_on_error=True) for gold in parsed_golds)
        except (Exception, time_out):  # sympy fails in many ways, and a time-out is no Exception there
            return np.nan

    return score_each(score, texts, golds)


def as_expression(answer: str) -> str:
    """Return an answer as math-verify reads it: what has neither delimiters nor words is an expression."""
    answer = UNIT.sub("", latex.without_typesetting(answer).replace("\\$", "").rstrip(". "))
    if DELIMITED.search(answer) or WORD.search(COMMAND.sub("", answer)):
        return answer
    return f"${answer}$"


def not_readable(alias: str) -> str | None:
    """Say why a gold alias cannot be compared, None where it can."""
    return None if _parsed_gold(alias) else "is no mathematical expression: choose reward=answer_match"


def _words(text: str) -> str:
    """Return what is compared where an answer is a word or a letter: \\text{(B)}, even."""
    return latex.without_typesetting(text).strip(" .$()").casefold()


def _math_verify() -> tuple:
    try:
        from math_verify import parse, verify
        from math_verify.errors import TimeoutException
    except ImportError:
        raise ConfigError(
            "reward symbolic needs math-verify, which is not installed: run "
            "`.venv/bin/python -m pip install math-verify==0.9.0`, or choose reward=numeric"
        ) from None
    return parse, verify, TimeoutException


@lru_cache(maxsize=1 << 12)
def _parsed_gold(alias: str) -> list:
    parse, *_ = _math_verify()
    expression = as_expression(final_answer(alias))
    return parse(expression if DELIMITED.search(expression) else f"${expression}$")
