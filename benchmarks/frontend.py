"""Milliseconds of Python that a step of 512 sequences costs before and after the model: vLLM's own classes, no model.

On a GPU the engine core is another process, and everything here runs beside it: requests are validated and encoded,
each step's outputs are decoded and made into results. Where that takes longer than the GPU's step, the GPU waits.
"""

import contextlib
import gc
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.measure import Row, alternate, ratios
from benchmarks.place import Place
from generation.engines.interface import Request, SamplingSettings
from generation.engines.vllm import VllmEngine
from tests.conftest import make_tiny_model

SEQUENCES, TOKENS, PROMPT = 512, 64, 130  # of a step; of an answer and a prompt, as the GPU size has them
REQUESTS = 4 * SEQUENCES
THROUGHPUT = {"max_num_seqs": SEQUENCES, "enforce_eager": True, "kv_cache_gib": 1}
MODEL = {"dtype": "bfloat16", "max_model_len": 1024}
AT_MOST = 0.8  # milliseconds: an H200 is thought to take 5 to 7 for a step of 1.5 billion parameters


class AnswersAtOnce:
    """In the place of the client of vLLM's engine core: encodes requests and decodes outputs as that does, with vLLM's
    serializer, between which a core without a model gives every sequence a token a step. seconds: what that core took,
    which is another process's work on a GPU; encoding: of these, its serializer's."""

    def __init__(self) -> None:
        from vllm.v1.engine import EngineCoreOutputs
        from vllm.v1.serial_utils import MsgpackDecoder, MsgpackEncoder

        self._to_core, self._to_client = MsgpackEncoder(), MsgpackEncoder()
        self._decoder = MsgpackDecoder(EngineCoreOutputs)
        self._waiting: deque[Any] = deque()
        self._running: list[tuple[Any, list[int]]] = []  # (request, [tokens so far])
        self.seconds = self.encoding = 0.0
        self.steps = 0

    def add_request(self, request: Any) -> None:
        self._to_core.encode(request)
        self._waiting.append(request)

    def get_output(self) -> Any:
        started = time.process_time()
        outputs = self._step()
        made = time.process_time()
        frames = self._to_client.encode(outputs)
        ended = time.process_time()
        self.steps += 1
        self.encoding += ended - made
        self.seconds += ended - started
        return self._decoder.decode(frames)

    def _step(self) -> Any:
        from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs, FinishReason
        from vllm.v1.metrics.stats import PrefillStats

        while self._waiting and len(self._running) < SEQUENCES:
            self._running.append((self._waiting.popleft(), [0]))
        logprobs, outputs = self._logprobs(len(self._running)), []
        for row, (request, count) in enumerate(self._running):
            count[0] += 1
            finished = count[0] >= request.sampling_params.max_tokens
            asked = request.sampling_params.logprobs is not None
            outputs.append(EngineCoreOutput(
                request.request_id, [3 + count[0] % 90],  # an ASCII character of the tiny model
                new_logprobs=logprobs.slice_request(row, 1) if asked else None,
                finish_reason=FinishReason.LENGTH if finished else None,
                prefill_stats=PrefillStats(PROMPT, PROMPT - 96, 96, 96) if count[0] == 1 else None,
            ))  # fmt: skip
        self._running = [(r, count) for r, count in self._running if count[0] < r.sampling_params.max_tokens]
        return EngineCoreOutputs(outputs=outputs)

    @staticmethod
    def _logprobs(rows: int) -> Any:
        """Return a token's own log-probability for each row, as a GPU's sampler hands them over."""
        import numpy as np
        from vllm.v1.outputs import LogprobsLists

        return LogprobsLists(
            np.full((rows, 1), 101, np.int32), np.full((rows, 1), -0.5, np.float32), np.ones(rows, np.int32)
        )

    def get_supported_tasks(self) -> tuple[str, ...]:
        return ("generate",)

    def abort_requests(self, request_ids: list[str]) -> None:
        assert not request_ids

    def dp_engines_running(self) -> bool:
        return False

    def reset_mm_cache(self) -> None: ...

    def shutdown(self, timeout: float | None = None) -> None: ...


@contextlib.contextmanager
def without_a_core() -> Iterator[list[AnswersAtOnce]]:
    """Engines that are opened inside have no model behind them; gives the list of what they have instead."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "1"  # the GPU's way
    from vllm.v1.engine.core_client import EngineCoreClient

    cores: list[AnswersAtOnce] = []

    def make_client(**_: Any) -> AnswersAtOnce:
        cores.append(AnswersAtOnce())
        return cores[-1]

    with mock.patch.object(EngineCoreClient, "make_client", make_client):
        yield cores


def measure(place: Place) -> list[Row]:
    fronts = FrontEnds(make_tiny_model(place.folder / "model"))
    took = alternate(place.size.repeats, ours=fronts.ours, earlier=fronts.every_token, theirs=fronts.llm_class)
    encoding = fronts.encoding
    return [
        Row("Python per step of 512 sequences, the stage's engine", fronts.stepping, "ms", at_most=AT_MOST),
        Row("and of the 8 submissions that a step of 64-token answers needs", fronts.submitting, "ms"),
        Row("both", took["ours"], "ms"),
        Row("both with an output and a log-probability a token", took["earlier"], "ms"),
        Row("both by vLLM's LLM class as `vllm bench throughput` has it", took["theirs"], "ms"),
        Row("vLLM's LLM class / the stage's engine", ratios(took["theirs"], took["ours"]), "x", at_least=1),
        Row("in the engine core's process: encoding of a step", encoding["ours"], "ms"),
        Row("the same with log-probabilities", encoding["earlier"], "ms"),
    ]


class FrontEnds:
    """Ways to have the same requests answered; each returns the milliseconds of a step, its submissions included."""

    def __init__(self, model: Path) -> None:
        with without_a_core() as self.cores:
            settings = SamplingSettings(0.7, 1.0, TOKENS, (2,), {})
            self.engine = VllmEngine(model, settings, MODEL, THROUGHPUT, "cpu")
            from vllm import LLM

            theirs = {name: value for name, value in THROUGHPUT.items() if name != "kv_cache_gib"}
            self.llm = LLM(str(model), disable_log_stats=True, **MODEL, **theirs)
        self.prompts = [[3 + (i * j) % 200 for j in range(PROMPT)] for i in range(REQUESTS)]
        self.encoding: dict[str, list[float]] = {"ours": [], "earlier": []}
        self.submitting: list[float] = []
        self.stepping: list[float] = []

    def ours(self) -> float:
        took = self._timed(self.cores[0], self._drive, "ours")
        self.submitting.append(1000 * self._submissions / self.cores[0].steps)
        self.stepping.append(took - self.submitting[-1])
        return took

    def every_token(self) -> float:
        """Time an output for every token, its log-probability, and a garbage collector that looks at everything."""
        from vllm.sampling_params import RequestOutputKind

        kept = self.engine._sampling
        self.engine._sampling = kept | {"output_kind": RequestOutputKind.CUMULATIVE, "logprobs": 0, "skip_clone": False}
        gc.unfreeze()
        try:
            return self._timed(self.cores[0], self._drive, "earlier")
        finally:
            gc.freeze()
            self.engine._sampling = kept

    def llm_class(self) -> float:
        """As vllm.benchmarks.throughput calls it: text of every answer, and a progress bar."""
        from vllm import SamplingParams

        prompts = [{"prompt_token_ids": prompt} for prompt in self.prompts]
        params = [
            SamplingParams(n=1, temperature=1.0, top_p=1.0, ignore_eos=True, max_tokens=TOKENS, detokenize=True)
            for _ in prompts
        ]
        with open("/dev/null", "w") as silence, contextlib.redirect_stderr(silence):
            return self._timed(self.cores[1], lambda: self.llm.generate(prompts, params, use_tqdm=True))

    def _drive(self) -> None:
        """As a worker does: never more than two full batches submitted."""
        waiting, finished, self._submissions = deque(enumerate(self.prompts)), 0, 0.0
        while waiting or self.engine.num_in_flight:
            started = time.process_time()
            while waiting and self.engine.num_in_flight < 2 * self.engine.max_num_seqs:
                index, prompt = waiting.popleft()
                self.engine.submit(Request((str(index),), prompt, seed=index))
            self._submissions += time.process_time() - started
            finished += len(self.engine.step())
        assert finished == len(self.prompts)

    def _timed(self, core: AnswersAtOnce, work: Any, name: str | None = None) -> float:
        core.seconds = core.encoding = 0.0
        core.steps = 0
        started = time.process_time()
        work()
        took = time.process_time() - started - core.seconds
        if name:
            self.encoding[name].append(1000 * core.encoding / core.steps)
        return 1000 * took / core.steps
