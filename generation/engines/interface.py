"""The one interface to whatever samples tokens: submit requests, step, collect what has finished."""

from dataclasses import dataclass
from typing import Any, Protocol

Key = tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """One sample to draw. key: unique among the requests in flight; seed: this request's own noise; greedy: take the
    likeliest token each time."""

    key: Key
    prompt_token_ids: list[int]
    seed: int
    greedy: bool = False


@dataclass(frozen=True)
class Completion:
    """What was sampled: ids as sampled, the stop token included. finish_reason: "stop" or "length"."""

    key: Key
    token_ids: list[int]
    finish_reason: str
    cumulative_logprob: float
    num_cached_tokens: int = 0


@dataclass(frozen=True)
class SamplingSettings:
    """How every request of a stage is sampled; `args` are the engine library's own further names. choices: the only
    tokens that may be sampled, any where it is empty; log-probabilities are then those among them."""

    temperature: float
    top_p: float
    max_tokens: int
    stop_token_ids: tuple[int, ...]
    args: dict[str, Any]
    choices: tuple[int, ...] = ()


class RequestRefused(ValueError):
    """The engine will not take this one request; the others are not affected."""


class Engine(Protocol):
    """Continuous batching: requests may be submitted at any time, completions come in any order.

    `step` advances every running request by about a token; `num_in_flight` counts what was submitted and has not
    come back. A request's tokens depend on its prompt, its seed and the model, as far as the library allows.
    `close` ends the processes an engine has started and frees its memory; what is in flight is dropped.
    """

    max_num_seqs: int

    @property
    def num_in_flight(self) -> int: ...

    def submit(self, request: Request) -> None: ...

    def step(self) -> list[Completion]: ...

    def close(self) -> None: ...
