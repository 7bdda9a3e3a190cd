"""Rewards: one dict of functions `(texts, golds) -> float32 array`; a new one, a judge model too, is an entry more.

`texts` are n raw generated texts and `golds` n lists of gold aliases; the result has shape (n,). NaN marks a text
that could not be scored, which is never 0.0. Every reward but `in_accuracy` looks at the final answer alone.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache
from operator import contains

import numpy as np

from filtering.rewards.final_answer import final_answer
from filtering.rewards.texts import Golds, Texts
from store.errors import BadInput, ConfigError

Lists = Sequence[Sequence[str]]
Reward = Callable[[Sequence[str], Lists], np.ndarray]

NUMBER = re.compile(r"((?<![\w.)])-)?\$?((?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)")


def in_accuracy(texts: Sequence[str], golds: Lists) -> np.ndarray:
    """The paper's reward: 1 if some gold alias occurs in the whole text after normalisation."""
    texts, golds = _columns(texts, golds)
    scores = np.zeros(len(texts), dtype=np.float32)
    for row, (text, aliases) in enumerate(zip(texts.normalized, golds.normalized, strict=True)):
        for alias in aliases:  # a plain loop: any() over a generator takes twice as long
            if alias in text:
                scores[row] = 1
                break
    return scores


def in_accuracy_final(texts: Sequence[str], golds: Lists) -> np.ndarray:
    """In-accuracy of the final answer: candidates weighed on the way to it do not count."""
    return in_accuracy(Texts.of(texts).final, golds)


def exact_match(texts: Sequence[str], golds: Lists) -> np.ndarray:
    """SQuAD's exact match: 1 if the final answer's tokens are those of some alias."""
    texts, golds = _columns(texts, golds)
    return np.fromiter(map(contains, golds.squad_tokens, texts.final.squad_tokens), np.float32, len(texts))


def token_f1(texts: Sequence[str], golds: Lists) -> np.ndarray:
    """SQuAD's token F1 of the final answer, in [0, 1], against the alias that fits best."""
    texts, golds = _columns(texts, golds)
    scores = np.zeros(len(texts), dtype=np.float32)
    prepared: dict[int, tuple[list[str], list[Counter[str]]]] = {}
    for row, (tokens, aliases) in enumerate(zip(texts.final.squad_tokens, golds.squad_tokens, strict=True)):
        if id(aliases) not in prepared:
            bags = [Counter(alias.split()) for alias in aliases]
            prepared[id(aliases)] = [f" {token} " for token in set().union(*bags)], bags
        vocabulary, bags = prepared[id(aliases)]
        for token in vocabulary:
            if token in tokens:  # most texts have no token of a gold alias
                scores[row] = max(_f1(tokens.split(), bag) for bag in bags)
                break
    return scores


def numeric(texts: Sequence[str], golds: Lists) -> np.ndarray:
    """GSM8K: 1 if the last number of the final answer equals a gold's, as decimals (1,000 = 1000.0).

    BadInput for a gold alias without a number.
    """

    def score(answer: str, aliases: Sequence[str]) -> bool:
        number = last_number(answer)
        return number is not None and number in [_gold_number(alias) for alias in aliases]

    return _score_each(score, Texts.of(texts).final, golds)


def symbolic(texts: Sequence[str], golds: Lists) -> np.ndarray:
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

    def score(answer: str, aliases: Sequence[str]) -> float:
        parsed_golds = [parse_gold(alias) for alias in aliases]
        try:
            parsed = parse(answer, raise_on_error=True)
            return any(verify(gold, parsed, raise_on_error=True) for gold in parsed_golds)
        except (Exception, TimeoutException):  # sympy fails in many ways, and a time-out is no Exception there
            return np.nan

    return _score_each(score, Texts.of(texts).final, golds)


REWARDS: dict[str, Reward] = {
    "in_accuracy": in_accuracy,
    "in_accuracy_final": in_accuracy_final,
    "exact_match": exact_match,
    "token_f1": token_f1,
    "numeric": numeric,
    "symbolic": symbolic,
}


def last_number(answer: str) -> Decimal | None:
    """The last number of a final answer, None where there is none. `10-18` ends with 18, not -18."""
    numbers = NUMBER.findall(answer.replace("−", "-"))
    return Decimal(numbers[-1][0] + numbers[-1][1].replace(",", "")) if numbers else None


@lru_cache(maxsize=1 << 14)  # the aliases of a shard's questions, each asked for once per sample
def _gold_number(alias: str) -> Decimal:
    number = last_number(final_answer(alias))
    if number is None:
        raise BadInput(f"gold answer {alias!r} holds no number: choose another reward, e.g. in_accuracy_final")
    return number


def _f1(tokens: list[str], gold_tokens: Counter[str]) -> float:
    num_same = sum([min(count, tokens.count(token)) for token, count in gold_tokens.items()])
    return 2 * num_same / (len(tokens) + gold_tokens.total())


def _columns(texts: Sequence[str], golds: Lists) -> tuple[Texts, Golds]:
    assert len(texts) == len(golds), f"{len(texts)} texts for {len(golds)} lists of gold answers"
    return Texts.of(texts), Golds.of(golds)


def _score_each(score: Callable[[str, Sequence[str]], float], texts: Sequence[str], golds: Lists) -> np.ndarray:
    assert len(texts) == len(golds), f"{len(texts)} texts for {len(golds)} lists of gold answers"
    return np.fromiter(map(score, texts, golds), dtype=np.float32, count=len(texts))
