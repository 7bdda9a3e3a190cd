"""The normalisation behind In-accuracy (arXiv 2503.08681): NFD, lower case, punctuation to space, no articles.

A normalised text is its tokens joined by single spaces: a token is a run of letters, digits and combining
marks, or one visible symbol. A list of tokens is then a sublist of another exactly when `" x y "` is a substring
of `" w x y z "`, and the search runs in C.
"""

import re
import string
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

ARTICLES = frozenset(("a", "an", "the"))
# A combining mark is no word character to `\b`, so a decomposed "á" at the start of a word loses its a. The
# paper's normaliser does this too, on both sides of a comparison alike.
ARTICLE = re.compile(r"\b(?:a|an|the)\b")


class _Characters(dict[int, str]):
    """str.translate table over all of Unicode, filled as characters are met: a full one has 1.1 million entries."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        kind = unicodedata.category(char)[0]
        if char in string.punctuation or kind in "ZC":  # separators, controls, unassigned
            self[code] = " "
        elif kind in "LNM":  # letters, numbers, marks
            self[code] = char
        else:  # punctuation and symbols outside ASCII stay, each a token of its own
            self[code] = f" {char} "
        return self[code]


_CHARACTERS = _Characters()
_ASCII = {code: _CHARACTERS[code] for code in range(128)}  # a plain dict takes translate's fast path, 10 x faster


def normalize(text: str) -> str:
    """The text as its tokens joined by single spaces, "" when none is left. NFC and NFD spellings are equal."""
    if text.isascii():
        return " ".join([word for word in text.lower().translate(_ASCII).split() if word not in ARTICLES])
    decomposed = unicodedata.normalize("NFD", text).lower().translate(_CHARACTERS)
    return " ".join(ARTICLE.sub(" ", decomposed).split())


@lru_cache(maxsize=1 << 18)  # a run has about 1e5 distinct aliases, each asked for once per sample
def padded_alias(alias: str) -> str:
    """A gold alias as `" x y "`, or "" when it normalises to nothing (`A+`, `*`): such an alias never matches."""
    normalized = normalize(alias)
    return f" {normalized} " if normalized else ""


def contains_alias(normalized_text: str, aliases: Iterable[str]) -> bool:
    """Whether an alias that has a token is a token-sublist of a text that `normalize` returned."""
    padded_text = f" {normalized_text} "
    for alias in aliases:  # a plain loop: any() over a generator takes twice as long
        padded = padded_alias(alias)
        if padded and padded in padded_text:
            return True
    return False
