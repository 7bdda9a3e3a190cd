"""Columns of generated texts and of gold aliases, with what rewards and flags ask of each worked out once."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, Self

import numpy as np

from filtering.rewards.final_answer import Found, final_answers
from filtering.rewards.normalize import NORMALIZED, SQUAD_TOKENS
from store.errors import BadInput
from store.thinking import all_without_thinking


class Texts(list[str]):
    """n generated texts without what the model thinks in them; `whole`: those that these are the final answers of, most
    of which are the same."""

    def __init__(self, texts: Iterable[str], whole: "Texts | None" = None) -> None:
        super().__init__(all_without_thinking(texts) if whole is None else texts)
        self._whole = whole

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        return texts if isinstance(texts, cls) else cls(texts)

    @cached_property
    def marked(self) -> dict[int, str]:
        """{row: final answer} of the texts that have a marker or a box."""
        return {row: found.answer for row, found in self._found.items() if found.is_marked}

    @cached_property
    def final(self) -> "Texts":
        """The final answers, these texts themselves where each is its own."""
        if not self._found:
            return self
        answers = list(self)
        for row, found in self._found.items():
            answers[row] = found.answer
        return Texts(answers, self)

    @cached_property
    def _found(self) -> dict[int, Found]:
        """{row: final answer} of the texts that are not their own."""
        return final_answers(self)

    @cached_property
    def normalized(self) -> list[str]:
        """Each as `" x y "`, normalized, " " where nothing is left."""
        found = self._whole._found if self._whole is not None else {}
        if self._whole is None or 2 * len(found) >= len(self):
            return NORMALIZED(self)
        rows = list(self._whole.normalized)
        for row, text in zip(found, NORMALIZED([self[row] for row in found]), strict=True):
            rows[row] = text
        return rows

    @cached_property
    def squad_tokens(self) -> list[str]:
        """Each as `" x y "`, SQuAD's tokens."""
        return SQUAD_TOKENS(self)


class Golds(list[Sequence[str]]):
    """The gold aliases of n texts. Texts that share a list of them, as those of one question do, share the list of what
    is made of it. Aliases that leave no token (`A+`, `*`) never match and are not in it."""

    @classmethod
    def of(cls, golds: Sequence[Sequence[str]]) -> Self:
        return golds if isinstance(golds, cls) else cls(golds)

    @cached_property
    def normalized(self) -> list[list[str]]:
        """As `" x y "`, normalized: found in a text exactly when it is a token-sublist of it."""
        return self._made(NORMALIZED)

    @cached_property
    def squad_tokens(self) -> list[list[str]]:
        """As `" x y "`, SQuAD's tokens."""
        return self._made(SQUAD_TOKENS)

    def _made(self, normalizer: Callable[[list[str]], list[str]]) -> list[list[str]]:
        lists = {id(aliases): aliases for aliases in self}
        rows = iter(normalizer([alias for aliases in lists.values() for alias in aliases]))
        made = {key: [row for row in islice(rows, len(aliases)) if row != " "] for key, aliases in lists.items()}
        return [made[id(aliases)] for aliases in self]


def columns(texts: Sequence[str], golds: Sequence[Sequence[str]]) -> tuple[Texts, Golds]:
    """Return n texts and their n lists of gold aliases as columns."""
    assert len(texts) == len(golds), f"{len(texts)} texts for {len(golds)} lists of gold answers"
    return Texts.of(texts), Golds.of(golds)


def score_each(
    score: Callable[[str, Sequence[str]], float], texts: Sequence[str], golds: Sequence[Sequence[str]]
) -> np.ndarray:
    """Return the score of each final answer, float32 of shape (n,), from one function of an answer and its golds."""
    texts, golds = columns(texts, golds)
    return np.fromiter(map(score, texts.final, golds), dtype=np.float32, count=len(texts))


def usable_golds(aliases: Sequence[str], read: Callable[[str], Any], problem: Callable[[str], str | None]) -> list[Any]:
    """Return what is read from the gold aliases that can be read; BadInput with the first one's problem if none can."""
    found = [value for alias in aliases if (value := read(alias)) is not None and value != []]
    if aliases and not found:
        raise BadInput(f"gold answer {aliases[0]!r:.200} {problem(aliases[0])}")
    return found
