"""vLLM as an Engine: token ids in, token ids out, one request per sample.

Its LLMEngine is driven directly, so that corrections enter the running batch as soon as their shard's initial
answers are done; LLM.generate would drain the batch at every call.
"""

import gc
import os
from pathlib import Path
from typing import Any

from generation.engines.interface import Completion, Key, Request, RequestRefused, SamplingSettings
from generation.engines.length import fitted
from store.errors import ConfigError
from store.machine import num_cores

KV_CACHE_GIB = 4  # on CPU, where engine.throughput.kv_cache_gib says nothing
CLOSE_SECONDS = 3  # for vLLM's processes to end by themselves, then they are killed
GREEDY = {"temperature": 0.0, "top_p": 1.0}
# With these vLLM's own top-p stays: it comes after top-k and min-p, and the others are where ours would go.
NOT_BESIDE_OUR_TOP_P = {"top_k", "min_p", "extra_args", "logits_processors", "speculative_config"}
# With these the user has decided which CUDA graphs are captured.
DECIDES_GRAPHS = {"enforce_eager", "cudagraph_capture_sizes", "max_cudagraph_capture_size", "compilation_config"}


class VllmEngine:
    def __init__(
        self, model: Path, sampling: SamplingSettings, args: dict[str, Any], throughput: dict[str, Any], device: str
    ) -> None:
        args, throughput = fitted(args, model), dict(throughput)
        set_environment(device, throughput.pop("kv_cache_gib", None))
        from vllm import EngineArgs, SamplingParams
        from vllm.sampling_params import RequestOutputKind
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.llm_engine import LLMEngine

        self._params = SamplingParams
        self._sampling = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "stop_token_ids": list(sampling.stop_token_ids),
            "detokenize": False,
            "output_kind": RequestOutputKind.FINAL_ONLY,  # an output for every token takes longer than a GPU's step
            "skip_clone": True,  # each request has parameters of its own; copying them deeply is half of its cost
        } | sampling.args
        if sampling.choices:
            self._sampling |= {"allowed_token_ids": list(sampling.choices), "logprobs": 0}
            args = {"logprobs_mode": "processed_logprobs"} | args  # raw ones are among all tokens
        self._greedy = self._sampling | GREEDY
        # Where an answer ends is decided in one place (store.chat): vLLM reads no file for it.
        engine_args = limits({"generation_config": "vllm"} | args | throughput, device)
        if device == "cpu" and takes_our_top_p(self._sampling, engine_args):
            from generation.engines.top_p import TopPLogitsProcessor

            self._sampling |= {"top_p": 1.0, "extra_args": {"top_p": self._sampling["top_p"]}}
            engine_args |= {"logits_processors": [TopPLogitsProcessor]}
        self.max_num_seqs = engine_args["max_num_seqs"]
        self._keys: dict[str, Key] = {}
        self._submitted = 0
        try:
            self._engine = LLMEngine.from_engine_args(EngineArgs(
                model=str(model), skip_tokenizer_init=True, trust_remote_code=False, disable_log_stats=True,
                **engine_args,
            ), UsageContext.LLM_CLASS)  # fmt: skip
        except TypeError as error:
            raise ConfigError(
                f"engine.args or engine.throughput holds what vLLM's EngineArgs does not take: {error}"
            ) from error
        gc.collect()
        gc.freeze()  # the million objects of the start live on: no collection between steps looks at them again

    @property
    def num_in_flight(self) -> int:
        return len(self._keys)

    def submit(self, request: Request) -> None:
        name = str(self._submitted)  # short and unique; vLLM wants a string
        params = self._params(seed=request.seed, **(self._greedy if request.greedy else self._sampling))
        try:
            self._engine.add_request(name, {"type": "token", "prompt_token_ids": request.prompt_token_ids}, params)
        except ValueError as error:
            raise RequestRefused(str(error)) from error
        self._submitted += 1
        self._keys[name] = request.key

    def step(self) -> list[Completion]:
        return [self._complete(output) for output in self._engine.step() if output.finished]

    def close(self) -> None:
        self._engine.engine_core.shutdown(timeout=CLOSE_SECONDS)

    def _complete(self, output: Any) -> Completion:
        sample = output.outputs[0]
        assert sample.finish_reason in ("stop", "length"), f"{output.request_id}: {sample.finish_reason}"
        return Completion(
            self._keys.pop(output.request_id),
            list(sample.token_ids),
            sample.finish_reason,
            float("nan") if sample.cumulative_logprob is None else sample.cumulative_logprob,
            output.num_cached_tokens or 0,
        )


def limits(engine_args: dict[str, Any], device: str) -> dict[str, Any]:
    """engine_args with max_num_seqs, where it is null, by the device's memory as vLLM's LLM class has it, and on a GPU
    with CUDA graphs for as many sequences; vLLM's own end at 512, and larger batches then run without."""
    from vllm import EngineArgs
    from vllm.usage.usage_lib import UsageContext

    found = dict(engine_args)
    if found.get("max_num_seqs") is None:
        _, sequences = EngineArgs.get_batch_defaults(world_size=1)
        most = sequences[UsageContext.LLM_CLASS]
        found["max_num_seqs"] = min(most, found.get("max_num_batched_tokens") or most)
    if device == "cuda" and not DECIDES_GRAPHS & found.keys():
        found["max_cudagraph_capture_size"] = found["max_num_seqs"]
    return found


def takes_our_top_p(sampling: dict[str, Any], engine_args: dict[str, Any]) -> bool:
    """Whether generation.top_p does what vLLM's own top-p would do with these arguments."""
    return sampling["top_p"] < 1 and not NOT_BESIDE_OUR_TOP_P & (sampling.keys() | engine_args.keys())


def set_environment(device: str, kv_cache_gib: int | None) -> None:
    """vLLM's settings that are environment variables; what the user has set stays."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    if device == "cpu":
        cores, share = sorted(os.sched_getaffinity(0)), num_cores()
        if share < len(cores):  # by a quota of time: any core, but no more threads at once than it pays for
            os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
            os.environ.setdefault("OMP_NUM_THREADS", str(share))
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", ",".join(map(str, cores)))  # default leaves one idle
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", str(kv_cache_gib or KV_CACHE_GIB))
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # in-process: one start instead of two
        os.environ.setdefault("VLLM_USE_AOT_COMPILE", "0")  # its cache does not load on CPU: 40 s a start instead of 16
        os.environ.setdefault("VLLM_USE_V2_MODEL_RUNNER", "0")  # generation.top_p speaks to version 1
