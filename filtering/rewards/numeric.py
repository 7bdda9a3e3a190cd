"""GSM8K's reward: the last number of the final answer, by value."""

import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np

from filtering.rewards import latex, typography
from filtering.rewards.final_answer import final_answer
from filtering.rewards.numbers import numbers, with_words
from filtering.rewards.texts import score_each, usable_golds

BRACKETED = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")  # "18 (see step 3)"
CURRENCY_CODE = re.compile(r"\b(?:us|ca|au|nz|hk|r)?\$|\b(?:usd|eur|gbp|inr|cad|aud|chf|jpy|cny|rmb|rs)\.?(?=[ -]?\d)")
IN_WORDS = re.compile(r"\W*(?:(?:about|only|just|exactly)\s)?([a-z]+(?:[ -][a-z]+){0,3})\W*")


def numeric(texts: Sequence[str], golds: Sequence[Sequence[str]]) -> np.ndarray:
    """Score 1 where the last number of the final answer equals a gold's (1,000 = 1000.0 = 1e3); 15% is 15.

    A gold alias that is not one number is left out; BadInput where none is one.
    """

    def score(answer: str, aliases: Sequence[str]) -> bool:
        values = usable_golds(aliases, _gold, not_one_number)
        number = last_number(answer)
        return number is not None and number in values

    return score_each(score, texts, golds)


def last_number(answer: str) -> Fraction | int | None:
    """Return the last number of a final answer, None where there is none; `10-18` ends with 18, not -18.

    Numbers in brackets count where there are no others; words where they are the whole answer ("eighteen dollars").
    """
    found = _numbers(answer)
    return found[-1] if found else None


def not_one_number(alias: str) -> str | None:
    """Say why a gold alias is not one number, None where it is. A worked solution is what stands behind its ####."""
    found = set(_numbers(final_answer(alias)))
    if len(found) == 1:
        return None
    if not found:
        return "holds no number: choose reward=answer_match"
    return (
        f"holds {len(found)} numbers where one is the answer: name what stands before it (data.answer_marker="
        "'\"####\"' in GSM8K), or choose reward=answer_match"
    )


def _numbers(answer: str) -> list[Fraction | int]:
    text = typography.plain(latex.plain(answer)).lower()
    text = CURRENCY_CODE.sub(lambda found: "$" if found[0].endswith("$") else " ", text)
    for part in (BRACKETED.sub(" ", text), text):
        found = [number.value for number in numbers(part) if number.value is not None]
        if found:
            return found
    words = IN_WORDS.fullmatch(text)
    return [int(token) for token in with_words(re.split("[ -]", words[1])) if token.isdecimal()] if words else []


@lru_cache(maxsize=1 << 14)  # the aliases of a shard's questions, each asked for once per sample
def _gold(alias: str) -> Fraction | int | None:
    return None if not_one_number(alias) else _numbers(final_answer(alias))[-1]
