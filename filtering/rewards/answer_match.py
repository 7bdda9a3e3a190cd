"""In-accuracy of the final answer for any script: a gold alias's tokens stand in a row among those of the answer.

Beside In-accuracy, typography and accents are folded; a number is one token, by value (1.5 has no 5, 5,000 is 5000,
7 is seven, -5 is not 5), and its unit another (10km is 10 km); July 4th is 4 July. Where words are not separated (Han,
kana, Thai ...) or particles follow them (Hangul), an alias is looked for inside the words.
"""

import re
import string
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from filtering.rewards import latex, typography
from filtering.rewards.numbers import NUMBER_WORDS, SCALES, Number, numbers, with_words
from filtering.rewards.texts import columns

ARTICLES = frozenset(("a", "an", "the"))
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
DAY_MONTH = re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? ({'|'.join(MONTHS)})\b")
MONTH_DAY = re.compile(rf"\b({'|'.join(MONTHS)}) (\d{{1,2}})(?:st|nd|rd|th)?(?!\w|[./:-]\d)")
ORDINAL = re.compile(r"\d(?:st|nd|rd|th)$")
ISO_DATE = re.compile(r"\b(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])\b")
# What may follow a number without a space; other letters make it a name (3D, 2Pac).
UNITS = re.compile(
    r"(?:[kcmn]?m|km/?h|kmh|kph|mph|m/s|[km]?g|lbs?|oz|ft|mi|yd|m?l|ms|min|hrs?|h|am|pm|bce?|ad|ce|bn|[kmg]?hz|[kmgt]b"
    r"|[km]?w|k?v|[cf]|usd|eur)(?:\^?\d)?(?![^\W_])"
)
LATIN = re.compile(r"[a-z]")
YEAR = ("年", "년")  # 2015年 is 2015
SPECIAL = str.maketrans("-/.:^*", "\ue000\ue001\ue002\ue003\ue004\ue004", " ")  # in numbers: kept like letters
EXPONENT = re.compile(r"(?<=[^\W\d_])\^\(?(-?\d+)\)?")  # m^2 is m2
NUMERAL = re.compile(r"\d")
NOT_PLAIN = re.compile(r"[\\&{]")

HAN, KATAKANA, HANGUL = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff", "\u30a0-\u30ff", "\uac00-\ud7a3"
UNSPACED = (
    f"\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3041-\u309f{KATAKANA}{HAN}"  # from Thai to Tibetan, Burmese, Khmer
)
IS_UNSPACED, IS_HANGUL, IS_KATAKANA, IS_HAN = (re.compile(f"[{c}]") for c in (UNSPACED, HANGUL, KATAKANA, HAN))
BETWEEN = re.compile(f"(?<=[{UNSPACED}]) (?=[{UNSPACED}])")
SCALE = re.compile(rf"\b(?:{'|'.join(SCALES)})\b")
THAI_MARK = (
    "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd"  # and Lao: what belongs to the letter before
)


def answer_match(texts: Sequence[str], golds: Sequence[Sequence[str]]) -> np.ndarray:
    """Score 1 where some gold alias is found in the final answer."""
    texts, golds = columns(texts, golds)
    final = texts.final
    scores = np.zeros(len(texts), dtype=np.float32)
    needles: dict[int, list[Needle]] = {}  # of the aliases of a question, which its texts share
    for row, (text, normalized, aliases) in enumerate(zip(final, final.normalized, golds, strict=True)):
        if id(aliases) not in needles:
            needles[id(aliases)] = [needle for alias in aliases if (needle := _needle(alias)).folded != " "]
        scores[row] = _is_found(text, normalized, needles[id(aliases)])
    return scores


def _is_found(answer: str, normalized: str, needles: Sequence["Needle"]) -> bool:
    """Whether one of the needles is in an answer; normalized: the answer as In-accuracy normalizes it, which serves an
    answer and an alias in ASCII, but for numbers."""
    folded = None
    is_plain = answer.isascii() and not NOT_PLAIN.search(answer)
    for needle in needles:
        if is_plain and needle.is_plain:
            if needle.folded in normalized:
                return True
            continue
        if folded is None:
            if is_plain and needle.has_number and not _has_number(normalized):
                continue
            folded = fold(answer)
        if needle.folded in folded or (needle.inside is not None and needle.inside.search(folded)):
            return True
    return False


def _has_number(normalized: str) -> bool:
    return NUMERAL.search(normalized) is not None or not NUMBER_WORDS.isdisjoint(normalized.split())


def fold(text: str) -> str:
    """Return a text as `" x y "`, its tokens between single spaces; `" "` where it has none."""
    text = typography.without_marks(typography.plain(latex.plain(text)))
    if NUMERAL.search(text):
        text = ISO_DATE.sub(lambda date: f"{date[3]} {MONTHS[int(date[2]) - 1]} {date[1]}", text)
        text = MONTH_DAY.sub(r"\2 \1", DAY_MONTH.sub(r"\1 \2", text))
        text = EXPONENT.sub(r"\1", _with_tokens(text, numbers(text)))
    tokens = with_words([token for token in text.translate(CHARACTERS).split() if token not in ARTICLES])
    return f" {' '.join(tokens)} " if tokens else " "


class Needle(NamedTuple):
    """A gold alias, folded; inside: how it looks inside of words, None where its script separates them; is_plain:
    whether In-accuracy's normalization gives the same; has_number: whether a number is in it."""

    folded: str
    inside: re.Pattern[str] | None
    is_plain: bool
    has_number: bool


@lru_cache(maxsize=1 << 14)  # the aliases of a shard's questions, each asked for once per sample
def _needle(alias: str) -> Needle:
    folded = fold(alias)
    has_number = _has_number(folded)
    is_plain = alias.isascii() and not (has_number or NOT_PLAIN.search(alias) or SCALE.search(folded))
    return Needle(folded, _inside(folded.strip()), is_plain, has_number)


def _inside(alias: str) -> re.Pattern[str] | None:
    """Return the pattern of a folded alias inside of words: from the start of a word for Hangul; at the edges of a name
    in katakana and of a single Han character; else anywhere."""
    if not (IS_UNSPACED.search(alias) or IS_HANGUL.search(alias)):
        return None
    body = "".join(
        (" ?" if IS_UNSPACED.match(char) and IS_UNSPACED.match(before) else "") + re.escape(char)
        for before, char in pairwise(" " + BETWEEN.sub("", alias))
    )
    first, last = alias[0], alias[-1]
    if len(alias) == 1:
        return re.compile(f"(?<![{HAN}]){body}(?![{HAN}])") if IS_HAN.match(alias) else None
    left = f"(?<![{KATAKANA}])" if IS_KATAKANA.match(first) else "" if IS_UNSPACED.match(first) else "(?<= )"
    right = (
        f"(?![{KATAKANA}])" if IS_KATAKANA.match(last)
        else f"(?![{THAI_MARK}])" if IS_UNSPACED.match(last)
        else "" if IS_HANGUL.match(last) else "(?= )"
    )  # fmt: skip
    return re.compile(left + body + right)


def _with_tokens(text: str, found: Iterable[Number]) -> str:
    """Return a text with numbers as tokens of their own; not those that begin a name (3D), they stay in it."""
    parts, at = [], 0
    for start, end, value in found:
        if LATIN.match(text, end) and not UNITS.match(text, end):
            continue
        is_name = value is None or ORDINAL.search(text, start, end)
        token = (text[start:end] if is_name else str(value)).translate(SPECIAL)
        parts += [text[at:start], f" {token} "]
        at = end + text.startswith(YEAR, end)
    return "".join([*parts, text[at:]])


def _token_character(char: str) -> str:
    """Return a character itself, as a token of its own, or a space."""
    kind = unicodedata.category(char)
    if char == "&":
        return " and "
    if kind[0] in "LNM" or ord(char) in SPECIAL.values():
        return char
    if kind[0] in "ZCP" or kind == "Sc" or char in string.punctuation or char == "°":
        return " "
    return f" {char} "


CHARACTERS = typography.Characters(_token_character)
