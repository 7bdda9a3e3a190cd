"""A deterministic engine without a model: its answers are spans of the prompt, chosen by prompt and seed alone.

It answers in an order that depends on the batch, so that nothing downstream may rely on order. The faults it can be
told to show (`args`) are those of real engines: `die_on`, `hang_on` and `refuse` name a question's id, `start_error` is
what an engine says that does not start, `die_at_start` the signal that kills it.
"""

import hashlib
import os
import signal
import time
from pathlib import Path
from typing import Any

from generation.engines.interface import Completion, Request, RequestRefused, SamplingSettings


class FakeEngine:
    def __init__(
        self, model: Path, sampling: SamplingSettings, args: dict[str, Any], throughput: dict[str, Any], device: str
    ) -> None:
        self.max_num_seqs = throughput["max_num_seqs"]
        self._sampling = sampling
        self._faults = args
        self._waiting: list[Request] = []
        if "die_at_start" in args:
            os.kill(os.getpid(), args["die_at_start"])
        if "start_error" in args:
            raise RuntimeError(args["start_error"])

    @property
    def num_in_flight(self) -> int:
        return len(self._waiting)

    def submit(self, request: Request) -> None:
        if self._faults.get("refuse") in request.key:
            raise RequestRefused("the fake engine was told to refuse this question")
        self._waiting.append(request)

    def step(self) -> list[Completion]:
        time.sleep(self._faults.get("step_seconds", 0))
        batch, self._waiting = self._waiting[: self.max_num_seqs], self._waiting[self.max_num_seqs :]
        for request in batch:
            if self._faults.get("die_on") in request.key:
                os.kill(os.getpid(), signal.SIGKILL)
            if self._faults.get("hang_on") in request.key:
                time.sleep(3600)
        return [self._complete(request) for request in sorted(batch, key=lambda r: r.seed)]

    def close(self) -> None:
        self._waiting = []

    def _complete(self, request: Request) -> Completion:
        seed = 0 if request.greedy else request.seed
        noise = hashlib.sha256(repr((request.prompt_token_ids, seed)).encode()).digest()
        if choices := self._sampling.choices:
            return Completion(request.key, [choices[noise[0] % len(choices)]], "length", -noise[6] / 512)
        room = min(1 + noise[0] % 4, self._sampling.max_tokens)
        start = int.from_bytes(noise[1:5], "big") % max(1, len(request.prompt_token_ids) - room)
        stop = self._sampling.stop_token_ids[0]
        span = [token for token in request.prompt_token_ids[start : start + room] if token != stop]
        if noise[5] < 8:  # 3 % run out of tokens
            filler = request.prompt_token_ids[:1] if request.prompt_token_ids[0] != stop else span[:1]
            return Completion(
                request.key, (span + filler * self._sampling.max_tokens)[: self._sampling.max_tokens], "length", -1.0
            )
        return Completion(request.key, [*span[: self._sampling.max_tokens - 1], stop], "stop", -noise[6] / 16)
