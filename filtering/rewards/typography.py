"""One spelling for what is written in many: quotes, dashes, digits, ligatures, full-width letters, accents, powers.

`plain` keeps what a reader would miss (case, accents, punctuation); `without_marks` takes accents off, too.
"""

import re
import unicodedata
from collections.abc import Callable

SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
BEFORE_NFKC = {ord(char): None for char in "™®©℠"} | {ord("´"): "'"}
LETTERS = str.maketrans({  # what no decomposition takes apart; the last four are one letter in two languages
    "ł": "l", "ø": "o", "đ": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "ـ": "",
    "ي": "ی", "ى": "ی", "ك": "ک",
})  # fmt: skip


class Characters(dict[int, str | None]):
    """What str.translate makes of each character, by `becomes`: filled as characters are met."""

    def __init__(self, becomes: Callable[[str], str | None]) -> None:
        self._becomes = becomes

    def __missing__(self, code: int) -> str | None:
        self[code] = self._becomes(chr(code))
        return self[code]


def _plain_character(char: str) -> str | None:
    kind = unicodedata.category(char)
    if kind == "Nd":
        return str(unicodedata.decimal(char))
    if kind == "Cf" or "VARIATION SELECTOR" in unicodedata.name(char, "") or char == "\u034f":
        return None
    if kind == "Pd" or char == "−":
        return "-"
    if char in "‘’‚‛′ʼʹ`":
        return "'"
    if char in "“”„‟″«»":
        return '"'
    return {"⁄": "/", "∕": "/", "٫": ".", "٬": ",", "۔": "."}.get(char, char)


CHARACTERS = Characters(_plain_character)


def plain(text: str) -> str:
    """Return a text in NFKC with ASCII digits, dashes and quotes, x² as x^2, ½ as 1/2, without invisible characters."""
    if text.isascii():
        return text
    text = SUPERSCRIPT.sub(lambda found: "^" + unicodedata.normalize("NFKC", found[0]), text.translate(BEFORE_NFKC))
    text = "".join(_vulgar_fraction(char) for char in text) if any(char >= "¼" for char in text) else text
    return unicodedata.normalize("NFKC", text).translate(CHARACTERS)


def without_marks(text: str) -> str:
    """Return a case-folded text without accents, vowel signs of Arabic and Hebrew, stress marks; in NFC.

    Marks that are letters of their own stay: vowel signs of Indic scripts and of Thai, voicing marks of kana.
    """
    folded = text.casefold()
    if folded.isascii():
        return folded
    folded = unicodedata.normalize("NFD", folded.translate(LETTERS))
    kept = "".join(char for char in folded if not _is_accent(unicodedata.combining(char)))
    return unicodedata.normalize("NFC", kept)


def _is_accent(combining_class: int) -> bool:
    return combining_class == 1 or 10 <= combining_class <= 36 or combining_class >= 200


def _vulgar_fraction(char: str) -> str:
    return f" {char}" if unicodedata.decomposition(char).startswith("<fraction>") else char
