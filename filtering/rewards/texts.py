"""Columns of generated texts and of gold aliases, with what rewards and flags ask of each worked out once."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import islice
from typing import Self

from filtering.rewards.final_answer import marked_answers
from filtering.rewards.normalize import NORMALIZED, SQUAD_TOKENS


class Texts(list[str]):
    """n raw texts; `whole`: those that these are the final answers of, most of which are the same."""

    def __init__(self, texts: Iterable[str], whole: "Texts | None" = None) -> None:
        super().__init__(texts)
        self._whole = whole

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        return texts if isinstance(texts, cls) else cls(texts)

    @cached_property
    def marked(self) -> dict[int, str]:
        """{row: final answer} of the texts that have a marker."""
        return marked_answers(self)

    @cached_property
    def final(self) -> "Texts":
        """The final answers, these texts themselves where none has a marker."""
        if not self.marked:
            return self
        answers = [self.marked.get(row, text) for row, text in enumerate(self)]
        return Texts(answers, self if 2 * len(self.marked) < len(self) else None)

    @cached_property
    def normalized(self) -> list[str]:
        """Each as `" x y "`, normalised, " " where nothing is left."""
        if self._whole is None:
            return NORMALIZED(self)
        rows, marked = list(self._whole.normalized), self._whole.marked
        for row, text in zip(marked, NORMALIZED(list(marked.values())), strict=True):
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
        """As `" x y "`, normalised: found in a text exactly when it is a token-sublist of it."""
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
