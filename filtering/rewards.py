"""Rewards: one dict of functions `(texts, golds) -> float32 array`; a new one, a judge model too, is an entry more.

`texts` are n raw generated texts and `golds` n lists of gold aliases; the result has shape (n,). NaN marks a text
that could not be scored, which is never 0.0. Every reward but `in_accuracy` looks at the final answer alone.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache

import numpy as np

from data.errors import BadInput, ConfigError
from filtering.final_answer import final_answer
from filtering.normalize import ARTICLE, contains_alias, normalize

Golds = Sequence[Sequence[str]]
Reward = Callable[[Sequence[str], Golds], np.ndarray]

PUNCTUATION = str.maketrans("", "", string.punctuation)
NUMBER = re.compile(r"((?<![\w.)])-)?\$?((?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)")


def in_accuracy(texts: Sequence[str], golds: Golds) -> np.ndarray:
    """The paper's reward: 1 if some gold alias occurs in the whole text after normalisation."""
    return _score_each(lambda text, aliases: contains_alias(normalize(text), aliases), texts, golds)


def in_accuracy_final(texts: Sequence[str], golds: Golds) -> np.ndarray:
    """In-accuracy of the final answer: candidates weighed on the way to it do not count."""
    return in_accuracy([final_answer(text) for text in texts], golds)


def exact_match(texts: Sequence[str], golds: Golds) -> np.ndarray:
    """SQuAD's exact match: 1 if the final answer's tokens are those of some alias."""

    def score(text: str, aliases: Sequence[str]) -> bool:
        tokens = squad_tokens(final_answer(text))
        return bool(tokens) and any(tokens == _alias_tokens(alias) for alias in aliases)

    return _score_each(score, texts, golds)


def token_f1(texts: Sequence[str], golds: Golds) -> np.ndarray:
    """SQuAD's token F1 of the final answer, in [0, 1], against the alias that fits best."""

    def score(text: str, aliases: Sequence[str]) -> float:
        tokens = Counter(squad_tokens(final_answer(text)))
        return max((_f1(tokens, _alias_counts(alias)) for alias in aliases), default=0.0)

    return _score_each(score, texts, golds)


def numeric(texts: Sequence[str], golds: Golds) -> np.ndarray:
    """GSM8K: 1 if the last number of the final answer equals a gold's, as decimals (1,000 = 1000.0).

    BadInput for a gold alias without a number.
    """

    def score(text: str, aliases: Sequence[str]) -> bool:
        number = last_number(text)
        return number is not None and number in [_gold_number(alias) for alias in aliases]

    return _score_each(score, texts, golds)


def symbolic(texts: Sequence[str], golds: Golds) -> np.ndarray:
    """1 if the final answer is mathematically equal to a gold; NaN where the comparison failed or took 5 s.

    math-verify reads LaTeX in `$...$` or `\\boxed{}`, and plain numbers. BadInput for a gold it cannot read.
    """
    try:
        from math_verify import parse, verify
        from math_verify.errors import TimeoutException
    except ImportError:
        raise ConfigError(
            "reward symbolic needs math-verify, which is not installed: run "
            "`.venv/bin/python -m pip install math-verify==0.9.0`, or choose reward=numeric"
        ) from None

    @lru_cache(maxsize=1 << 12)
    def parse_gold(alias: str) -> list:
        parsed = parse(alias if "$" in alias or "\\boxed" in alias else f"${alias}$")
        if not parsed:
            raise BadInput(f"gold answer {alias!r} is no mathematical expression: choose another reward")
        return parsed

    def score(text: str, aliases: Sequence[str]) -> float:
        parsed_golds = [parse_gold(alias) for alias in aliases]
        try:
            parsed = parse(final_answer(text), raise_on_error=True)
            return any(verify(gold, parsed, raise_on_error=True) for gold in parsed_golds)
        except (Exception, TimeoutException):  # sympy fails in many ways, and a time-out is no Exception there
            return np.nan

    return _score_each(score, texts, golds)


REWARDS: dict[str, Reward] = {
    "in_accuracy": in_accuracy,
    "in_accuracy_final": in_accuracy_final,
    "exact_match": exact_match,
    "token_f1": token_f1,
    "numeric": numeric,
    "symbolic": symbolic,
}


def squad_tokens(text: str) -> list[str]:
    """SQuAD's tokens: lower case, no ASCII punctuation, no articles. In NFC, so that NFD spellings score alike."""
    lowered = unicodedata.normalize("NFC", text).lower().translate(PUNCTUATION)
    return ARTICLE.sub(" ", lowered).split()


def last_number(text: str) -> Decimal | None:
    """The last number of the final answer, None where there is none. `10-18` ends with 18, not -18."""
    numbers = NUMBER.findall(final_answer(text).replace("−", "-"))
    return Decimal(numbers[-1][0] + numbers[-1][1].replace(",", "")) if numbers else None


_alias_tokens = lru_cache(maxsize=1 << 18)(squad_tokens)


@lru_cache(maxsize=1 << 18)
def _alias_counts(alias: str) -> Counter[str]:
    return Counter(squad_tokens(alias))


@lru_cache(maxsize=1 << 18)
def _gold_number(alias: str) -> Decimal:
    number = last_number(alias)
    if number is None:
        raise BadInput(f"gold answer {alias!r} holds no number: choose another reward, e.g. in_accuracy_final")
    return number


def _f1(tokens: Counter[str], gold_tokens: Counter[str]) -> float:
    num_same = sum(min(count, tokens.get(token, 0)) for token, count in gold_tokens.items())
    return 2 * num_same / (tokens.total() + gold_tokens.total()) if num_same else 0.0


def _score_each(score: Callable[[str, Sequence[str]], float], texts: Sequence[str], golds: Golds) -> np.ndarray:
    assert len(texts) == len(golds), f"{len(texts)} texts for {len(golds)} lists of gold answers"
    return np.fromiter(map(score, texts, golds), dtype=np.float32, count=len(texts))
