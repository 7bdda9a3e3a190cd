"""The normalization behind In-accuracy (arXiv 2503.08681): NFD, lower case, punctuation to space, no articles.

A normalized text is its tokens joined by single spaces: a token is a run of letters, digits and combining
marks, or one visible symbol. A list of tokens is then a sublist of another exactly when `" x y "` is a substring
of `" w x y z "`, and the search runs in C.

A column of texts is normalized at once: joined, worked on as one array of characters, and split again. That takes a
third of a microsecond for a text of 70 ASCII characters and 1.2 for one with others, where a text by itself takes 2 and
6. Tokens, articles and white space are found in an array of ASCII characters that stand for what each character is, and
texts in ASCII, most of them, stand for themselves.
"""

import string
import sys
import unicodedata
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

BLOCK = 512  # texts at a time: their arrays stay in the processor's cache
# Stands between the texts. No case rule, decomposition or reordering of Unicode reaches across it, being a control
# character, and in a text of the column a space does for it: it is white space.
SEPARATOR = "\x1e"
# What stands for a character that is not an ASCII letter or digit itself. A mark belongs to a token and is no word
# character to `\b`; a symbol is a token of its own; a letter or digit outside ASCII is an x. 0 is not known yet.
DROPPED, SPACE, MARK, SYMBOL, LETTER = 1, ord(" "), ord("'"), ord("+"), ord("x")
FIRST_WORD = ord("0")  # what stands for word characters is not below
A, N, T, H, E = b"anthe"
PUNCTUATION_AND_FORMAT = frozenset(("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Cf"))


class Normalizer:
    """Columns in one Unicode form and lower case, without articles, each character as `becomes` says: it remains
    itself, becomes a space, stands between spaces, or is dropped ("")."""

    def __init__(self, form: Literal["NFC", "NFD", "NFKC"], becomes: Callable[[str], str]) -> None:
        self._form, self._becomes = form, becomes
        self._stands_for = np.zeros(sys.maxunicode + 1, dtype=np.uint8)  # filled as characters are met
        self._stands_for[ord(SEPARATOR)] = ord(SEPARATOR)
        lower = {code: chr(code).lower() for code in range(128) if chr(code) != SEPARATOR}
        spaces = {code for code, char in lower.items() if becomes(char) == " "}
        self._ascii = bytes(SPACE if code in spaces else ord(lower.get(code, chr(code))) for code in range(256))
        self._ascii_dropped = bytes(code for code, char in lower.items() if becomes(char) == "")

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Every text as `" x y "`, its tokens between single spaces; `" "` where it has none."""
        rows: list[str] = []
        for start in range(0, len(texts), BLOCK):
            block = texts[start : start + BLOCK]
            others = [row for row, text in enumerate(block) if not text.isascii()]
            if not others:
                rows += self._from_ascii(block)
            elif len(others) == len(block):
                rows += self._from_any(block)
            else:
                rows += self._from_ascii([text if text.isascii() else "" for text in block])
                for row, text in zip(others, self._from_any([block[row] for row in others]), strict=True):
                    rows[start + row] = text
        return rows

    def _from_ascii(self, texts: Sequence[str]) -> list[str]:
        content = _joined(texts).encode("ascii").translate(self._ascii, self._ascii_dropped)
        characters = np.frombuffer(content, dtype=np.uint8)
        return _folded(characters, _blanks(characters)).decode("ascii").split(SEPARATOR)

    def _from_any(self, texts: Sequence[str]) -> list[str]:
        text = unicodedata.normalize(self._form, _joined(texts)).lower()
        characters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        kinds = self._kinds(characters)
        if (dropped := kinds == DROPPED).any():
            characters, kinds = characters[~dropped], kinds[~dropped]
        if len(symbols := np.flatnonzero(kinds == SYMBOL)):
            around = np.stack([symbols, symbols + 1], axis=1).ravel()
            characters, kinds = np.insert(characters, around, SPACE), np.insert(kinds, around, SPACE)
        return _folded(characters, _blanks(kinds)).decode("utf-32-le", "surrogatepass").split(SEPARATOR)

    def _kinds(self, characters: np.ndarray) -> np.ndarray:
        """Return what stands for each character, uint8."""
        kinds = self._stands_for.take(characters)  # half the time of [characters]
        if not kinds.all():
            for code in np.unique(characters[kinds == 0]).tolist():
                self._stands_for[code] = self._kind(chr(code))
            kinds = self._stands_for.take(characters)
        return kinds

    def _kind(self, char: str) -> int:
        word = (ord(char) if char.isascii() else LETTER) if char.isalnum() else MARK
        return {char: word, "": DROPPED, " ": SPACE}.get(self._becomes(char), SYMBOL)


def _joined(texts: Sequence[str]) -> str:
    """Return the texts with a space on both sides of each, separators between them, and three spaces at the end."""
    between = f" {SEPARATOR} "
    column = f" {between.join(texts)}   "
    if column.count(SEPARATOR) >= len(texts):
        column = f" {between.join([text.replace(SEPARATOR, ' ') for text in texts])}   "
    return column


def _blanks(kinds: np.ndarray) -> np.ndarray:
    """Which characters are white space or in an article, `\\b(?:a|an|the)\\b`; bool. The first and the last three are
    spaces. A combining mark is no word character to `\\b`, so a decomposed "á" at the start of a word loses its a: the
    paper's normalizer does this too, on both sides of a comparison alike."""
    outside = kinds < FIRST_WORD
    first, second, third = kinds[1:-3], kinds[2:-2], kinds[3:-1]
    after_first, after_second, after_third = outside[2:-2], outside[3:-1], outside[4:]
    a = outside[:-4] & (first == A)
    the = outside[:-4] & (first == T) & (second == H) & (third == E) & after_third
    two_or_more = (a & (second == N) & after_second) | the
    blank = kinds == SPACE
    blank[1:-3] |= (a & after_first) | two_or_more
    blank[2:-2] |= two_or_more
    blank[3:-1] |= the
    return blank


def _folded(characters: np.ndarray, blank: np.ndarray) -> bytes:
    """Return the characters with each run of blanks as one space."""
    kept = ~blank
    kept[1:] |= kept[:-1]  # and the first of each run
    kept[0] = True
    return np.where(blank, characters.dtype.type(SPACE), characters)[kept].tobytes()


def _in_accuracy(char: str) -> str:
    """Return what a lower-case character becomes."""
    kind = unicodedata.category(char)[0]
    if char in string.punctuation or kind in "ZC":  # separators, controls, unassigned
        return " "
    return char if kind in "LNM" else f" {char} "  # letters, numbers, marks; or a symbol outside ASCII


def _squad(char: str) -> str:
    if char in string.punctuation or char == "−" or unicodedata.category(char) in PUNCTUATION_AND_FORMAT:
        return ""
    return " " if char.isspace() else char


NORMALIZED = Normalizer("NFD", _in_accuracy)  # NFC and NFD spellings are equal
SQUAD_TOKENS = Normalizer("NFKC", _squad)  # SQuAD's: one spelling of accents, ligatures, full-width letters


def no_plain_string(alias: str, normalizer: Normalizer | Callable[[list[str]], list[str]]) -> str | None:
    """Say why a gold alias is nothing that an answer could match word by word, None where it is."""
    if "####" in alias or "\\boxed" in alias:
        return "is a worked solution: take what follows its mark, with data.answer_marker='\"####\"'"
    if normalizer([alias]) == [" "]:
        return "has no letter or digit left when it is normalized: leave it out"
    return None
