"""Whether the engines of a stage fit into memory, estimated from the model's files.

What is counted is the least an engine takes. So what is refused cannot run; what is let through may still need more,
and then the engine refuses it when it starts.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.schema import Engine
from generation.engines.length import fitted
from generation.engines.vllm import KV_CACHE_GIB
from store.errors import NotEnoughMemory
from store.gpus import Gpu
from store.machine import GIB, free_memory, model_tensors
from store.shards import read_object
from store.tensors import BITS

FLOATS = ("BF16", "F16", "F32", "F64")  # loaded as engine.args.dtype; other numbers stay what they are
FULL = "full_attention"  # of config.json's layer_types
# Arguments after which weights or cache take less than is counted here.
LEFT_TO_VLLM = {"quantization", "cpu_offload_gb", "kv_cache_dtype", "kv_cache_memory_bytes", "pipeline_parallel_size"}
UTILIZATION = 0.92  # of a GPU's memory, where engine.throughput says nothing: vLLM's own
BATCHED_TOKENS = 2048  # the least that vLLM takes a step for, where engine.throughput says nothing
FEWEST_SEQUENCES = 256  # of a step, where max_num_seqs is null: the smaller cards' of the LLM class


@dataclass(frozen=True)
class Need:
    """Bytes of one engine. sequence: the KV cache of max_model_len tokens. ways: the processes that share both.
    step: what each process holds for a moment, in a step of full size."""

    weights: int
    sequence: int
    ways: int
    step: int = 0


def require_memory(engine: Engine, device: str, model: Path, workers: int, gpus: Sequence[Gpu]) -> None:
    """Raise NotEnoughMemory, with the figures and what to change, where `workers` engines on this machine cannot hold
    the model."""
    given = engine.args | engine.throughput
    if engine.kind == "fake" or LEFT_TO_VLLM & given.keys():
        return
    number = 4 if given.get("dtype") in ("float32", "float") else 2  # bytes; vLLM's "auto" is never float32
    sequence, step, ways = 0, 0, given.get("tensor_parallel_size", 1)
    if engine.kind == "vllm":
        shape = read_object(model / "config.json")
        sequence = fitted(engine.args, model)["max_model_len"] * cache_of_a_token(shape, number)
        step = step_bytes(shape, given, number, ways)
    need = Need(weight_bytes(model, number), sequence, ways, step)
    if device == "cpu":
        require_on_cpu(need, kv_cache_asked(engine), model, workers)
    else:
        share = given.get("gpu_memory_utilization", UTILIZATION) if engine.kind == "vllm" else None
        require_on_gpus(need, share, model, gpus)


def kv_cache_asked(engine: Engine) -> int:
    """Bytes that vLLM sets aside on CPU, whatever it is to hold; transformers sets none aside."""
    if engine.kind != "vllm":
        return 0
    return int(os.environ.get("VLLM_CPU_KVCACHE_SPACE") or engine.throughput.get("kv_cache_gib") or KV_CACHE_GIB) * GIB


def weight_bytes(model: Path, number: int) -> int:
    """Bytes of a model's weights when a float takes `number` of them."""
    return sum(
        tensor.size * number if tensor.dtype in FLOATS else tensor.size * BITS[tensor.dtype] // 8
        for tensor in model_tensors(model)
    )


def cache_of_a_token(shape: dict[str, Any], number: int) -> int:
    """Bytes of a token's keys and values in all layers, by config.json. 0 where it does not say so much, or where some
    layers keep less than every token (windows, compressed or recurrent states)."""
    try:
        windows = shape.get("sliding_window") is not None and shape.get("use_sliding_window", True)
        if windows or "kv_lora_rank" in shape or set(shape.get("layer_types") or [FULL]) != {FULL}:
            return 0
        heads = shape["num_attention_heads"]
        width = shape.get("head_dim") or shape["hidden_size"] // heads
        kv_heads = shape.get("num_key_value_heads") or heads
        return 2 * shape["num_hidden_layers"] * int(kv_heads) * int(width) * number
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return 0


def require_on_cpu(need: Need, asked: int, model: Path, workers: int) -> None:
    """asked: bytes of KV cache for each process of an engine."""
    if need.sequence > asked * need.ways:
        raise NotEnoughMemory(
            f"{model}: a sequence of engine.args.max_model_len tokens takes {gib(need.sequence)} GiB of KV cache, "
            f"engine.throughput.kv_cache_gib gives {gib(asked)}: raise it, or start another run with a smaller "
            "max_model_len"
        )
    cache, free = need.ways * asked, free_memory()
    total = workers * (need.weights + cache)
    if total > free:
        raise NotEnoughMemory(
            f"{model} takes at least {gib(total)} GiB here ({workers} x {gib(need.weights)} GiB of weights and "
            f"{gib(cache)} GiB of KV cache), {gib(free)} GiB of memory are free: lower engine.throughput.kv_cache_gib "
            "or launcher.workers, start another run with a smaller MODEL=, or use a machine with more memory"
        )


def step_bytes(shape: dict[str, Any], given: dict[str, Any], number: int, ways: int) -> int:
    """Return the least bytes that a process holds in a step of full size, by config.json: the scores of the whole
    vocabulary for every sequence, as they are and as float32, or the widest layer for every token. 0 where it does not
    say so much."""
    try:
        sequences = given.get("max_num_seqs") or FEWEST_SEQUENCES
        scores = sequences * int(shape["vocab_size"]) * (number + 4)
        tokens = given.get("max_num_batched_tokens") or BATCHED_TOKENS
        return max(scores, tokens * 3 * int(shape["intermediate_size"]) * number // ways)
    except (KeyError, TypeError, ValueError):
        return 0


def require_on_gpus(need: Need, share: float | None, model: Path, gpus: Sequence[Gpu]) -> None:
    """share: of a GPU's memory that the engine takes, whatever it holds, and that must be free when it starts; None
    for an engine that takes what it needs."""
    each = (need.weights + need.sequence) // need.ways + need.step
    for gpu in gpus:
        if gpu.total is None or gpu.free is None:
            continue
        found = f"GPU {gpu.name} has {gib(gpu.free)} of {gib(gpu.total)} GiB free"
        room = gpu.free if share is None else int(share * gpu.total)
        if each > room:
            raise NotEnoughMemory(
                f"{model} takes at least {gib(each)} GiB on each of {need.ways} GPUs ({gib(need.weights)} GiB of "
                f"weights and {gib(need.sequence)} GiB of KV cache for a sequence of engine.args.max_model_len tokens, "
                f"shared among them, and {gib(need.step)} GiB for a step); {found}, and "
                f"engine.throughput.gpu_memory_utilization allows {gib(room)} GiB: raise "
                "engine.throughput.tensor_parallel_size, start another run with a smaller MODEL= or max_model_len, or "
                "use larger GPUs"
            )
        if share is not None and gpu.free < room:
            raise NotEnoughMemory(
                f"{found}, and engine.throughput.gpu_memory_utilization={share} takes {gib(room)} GiB of it, of which "
                f"{model} needs at least {gib(each)}: end what else uses this GPU (nvidia-smi lists it), choose others "
                "with CUDA_VISIBLE_DEVICES, or lower engine.throughput.gpu_memory_utilization to less than "
                f"{gpu.free / gpu.total:.2f}"
            )


def gib(value: float) -> str:
    return f"{value / GIB:,.1f}"
