"""The one interface to whatever judges: prompts in, answers out in any order."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

YES, NO = "Yes", "No"
Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Answer:
    """score: the probability of Yes, NaN where there is no judgement; said: the answer, or why there is none."""

    key: str
    score: float
    said: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Judge(Protocol):
    """`ask` takes a prompt when it has room for one, and yields what was answered since; when it raises, all that was
    answered has been yielded. `close` ends what it started."""

    def ask(self, prompts: Iterable[tuple[str, Messages]]) -> Iterator[list[Answer]]: ...

    def close(self) -> None: ...
