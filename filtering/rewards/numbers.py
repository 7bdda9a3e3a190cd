"""Numbers in a text as people write them: 1,234.50 and 12,34,567 and 1 234 567, 3 1/2, 3.0e8, 1.5 × 10^6, 7 million.

What has digits and is no number has no value: a power that is not worked out (2^10), a time (10:30), a date
(2024-05-17), a decade (1960s), a version (1.2.3). The exponent of a unit (m^2) and a digit in a name (H2O) are none of
these. Texts are plain (typography, latex) and in lower case.
"""

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

YEAR = r"(?:1\d|2[01])\d\d"  # 2014/15 is a season, no fraction
CURRENCY = r"[$€£¥₹₩₽]"
GROUPED = (
    r"\d{1,3}(?:\.\d{3})+,\d+(?!\d)"  # 1.234,56
    r"|\d{1,3}(?:\.\d{3}){2,}(?![\d.])"  # 1.234.567
    r"|\d{1,3}(?:(?:,\d{3})+|(?:[ ']\d{3})+|(?:_\d{3})+)(?!\d)(?:\.\d+)?"
    r"|\d{1,2}(?:,\d{2}){1,9},\d{3}(?!\d)(?:\.\d+)?"
    r"|(?<![(,])\d+,\d{1,2}(?![\d,)])"  # 1,5; (1,5) is a pair
)
SCALES = {
    "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "lakh": 10**5,
    "crore": 10**7, "万": 10**4, "萬": 10**4, "만": 10**4, "亿": 10**8, "億": 10**8, "억": 10**8,
}  # fmt: skip
DIGIT = re.compile(r"\d")
SIGN = re.compile(rf"(?:(?<![\w.)\]}}%-])-{CURRENCY}?|{CURRENCY} ?-|\b(?:minus|negative) {CURRENCY}?)$")
# A digit behind these belongs to a name or an exponent (H2O, x_1, m^2, m^-2) or to what was read before.
NO_START = re.compile(r"[a-zà-ÿα-ωа-я^\d]$|[a-z]_$|\^-$|\d[./]$")
NUMBER = re.compile(
    r"(?:(?P<other>\d{1,2}:\d{2}(?::\d{2})?|\d{4}-\d{1,2}-\d{1,2}|\d{1,4}/\d{1,2}/\d{1,4}"
    r"|(?!\d{1,3}(?:\.\d{3}){2,}(?![\d.]))\d+(?:\.\d+){2,}|\d+'?s\b)"
    rf"|(?:(?P<whole>\d+)[ -])?(?!{YEAR} ?/)(?P<top>\d+) ?/ ?(?P<bottom>\d+)(?!\d|[/.]\d)"
    rf"|(?P<number>{GROUPED}|\d+(?:\.\d+)?|\.\d+)"
    r"(?:e(?P<e>[-+]?\d+)\b| ?[×x*·⋅] ?10(?:\^|\*\*)\(?(?P<times>[-+]?\d+)\)?|(?:\^|\*\*)\(?(?P<power>[-+]?\d+)\)?)?)"
    rf"(?:(?:st|nd|rd|th)\b|[ -]?(?P<scale>{'|'.join(SCALES)})(?![a-z]))?"
)
SIGN_REACH = 12  # characters before a number that may be its sign
DECIMAL_COMMA = re.compile(r"\d+,\d{1,2}|[\d.]*\.[\d.]*,\d+")  # 1,5 and 1.234,56
MAX_EXPONENT, MAX_LENGTH = 400, 1000  # what is beyond is not worked out

ONES = {word: value for value, word in enumerate((
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
))}  # fmt: skip
TENS = {word: 10 * value for value, word in enumerate((
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
), start=2)}  # fmt: skip
NUMBER_WORDS = frozenset((*ONES, *TENS))


class Number(NamedTuple):
    """text[start:end] and its value, None where it has digits and no value."""

    start: int
    end: int
    value: Fraction | int | None


def numbers(text: str) -> Iterator[Number]:
    """Yield the numbers of a plain text in lower case, in order."""
    at = 0
    while digit := DIGIT.search(text, at):
        start = digit.start() - (text[digit.start() - 1 : digit.start()] == "." and digit.start() > at)
        match = NUMBER.match(text, start) or NUMBER.match(text, digit.start())
        if match is None or NO_START.search(text[max(0, match.start() - 2) : match.start()]):
            at = digit.end()
            continue
        sign = SIGN.search(text[max(0, start - SIGN_REACH) : start])
        yield Number(start - len(sign[0]) if sign else match.start(), match.end(), _value(match, sign is not None))
        at = match.end()


def with_words(tokens: Sequence[str]) -> list[str]:
    """Return tokens with number words as digits, two to ninety-nine and with a scale; "one" is mostly a pronoun."""
    if NUMBER_WORDS.isdisjoint(tokens):
        return list(tokens)
    result, at = [], 0
    while at < len(tokens):
        value, end = _spelled(tokens, at)
        result.append(tokens[at] if value is None else str(value))
        at = end
    return result


def _spelled(tokens: Sequence[str], at: int) -> tuple[int | None, int]:
    """Return the value of the number word at a token, None where it is none, and where the next token stands."""
    first, second = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""
    if first in TENS:
        value, end = TENS[first], at + 1
        if 0 < ONES.get(second, 0) < 10:
            value, end = value + ONES[second], end + 1
    elif first in ONES:
        value, end = ONES[first], at + 1
    else:
        return None, at + 1
    scale = SCALES.get(tokens[end]) if end < len(tokens) else None
    if scale:
        return value * scale, end + 1
    return (None if first == "one" else value), end


def _value(match: re.Match[str], is_negative: bool) -> Fraction | int | None:
    if match["other"] or len(match[0]) > MAX_LENGTH:
        return None
    scale = SCALES.get(match["scale"] or "", 1) * (-1 if is_negative else 1)
    if match["top"]:
        bottom = int(match["bottom"])
        return scale * (int(match["whole"] or 0) + Fraction(int(match["top"]), bottom)) if bottom else None
    digits = re.sub(r"[ '_]", "", match["number"])
    if DECIMAL_COMMA.fullmatch(digits):
        digits = digits.replace(".", "").replace(",", ".")
    elif digits.count(".") > 1:
        digits = digits.replace(".", "")
    digits = digits.replace(",", "")
    number = int(digits) if digits.isdecimal() else Fraction(digits)
    exponent = int(match["e"] or match["times"] or match["power"] or 0)
    if abs(exponent) > MAX_EXPONENT or (match["power"] and number != 10):
        return None
    if exponent or match["power"]:
        number = (1 if match["power"] else number) * Fraction(10) ** exponent
    return scale * number
