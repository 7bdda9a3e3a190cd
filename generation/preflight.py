"""Whether the engines of a stage fit on this machine, reckoned before one is started: a refusal takes milliseconds.

What is counted is the least an engine takes: its weights and its KV cache. So what is refused cannot run; what is let
through may still need more, and then the engine refuses it when it starts.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.schema import Config, Engine
from generation.engines.vllm import KV_CACHE_GIB
from store.errors import NotEnoughMemory
from store.machine import GIB, free_memory, model_tensors
from store.shards import read_object
from store.tensors import BITS

FLOATS = ("BF16", "F16", "F32", "F64")  # loaded as engine.args.dtype; other numbers stay what they are
FULL = "full_attention"  # of config.json's layer_types
# Arguments after which weights or cache take less than is counted here.
LEFT_TO_VLLM = {"quantization", "cpu_offload_gb", "kv_cache_dtype", "kv_cache_memory_bytes", "pipeline_parallel_size"}


@dataclass(frozen=True)
class Need:
    """Bytes of one engine. sequence: the KV cache of max_model_len tokens. ways: the processes that share both."""

    weights: int
    sequence: int
    ways: int


def require_memory(config: Config, model: Path, workers: int, gpus: list[str]) -> None:
    """NotEnoughMemory, with the figures and what to change, where `workers` engines on this machine cannot hold the
    model. gpus: those that the workers share."""
    engine = config.engine
    given = engine.args | engine.throughput
    if engine.kind == "fake" or LEFT_TO_VLLM & given.keys():
        return
    number = 4 if given.get("dtype") in ("float32", "float") else 2  # bytes; vLLM's "auto" is never float32
    sequence = 0
    if engine.kind == "vllm":
        sequence = given["max_model_len"] * cache_of_a_token(read_object(model / "config.json"), number)
    need = Need(weight_bytes(model, number), sequence, given.get("tensor_parallel_size", 1))
    if config.device == "cpu":
        require_on_cpu(need, kv_cache_asked(engine), model, workers)
    else:
        require_on_gpus(need, given.get("gpu_memory_utilization", 1), model, gpus)


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


def require_on_gpus(need: Need, share: float, model: Path, gpus: list[str]) -> None:
    """share: of a GPU's memory that the engine may take."""
    each = (need.weights + need.sequence) // need.ways
    for gpu in gpus:
        if (memory := memory_of(gpu)) is None:
            continue
        total, free = memory
        if each > min(share * total, free):
            raise NotEnoughMemory(
                f"{model} takes at least {gib(each)} GiB on each of {need.ways} GPUs ({gib(need.weights)} GiB of "
                f"weights and {gib(need.sequence)} GiB of KV cache for a sequence of engine.args.max_model_len tokens, "
                f"shared among them); GPU {gpu} has {gib(free)} of {gib(total)} GiB free, and "
                f"engine.throughput.gpu_memory_utilization allows {gib(share * total)} GiB: raise "
                "engine.throughput.tensor_parallel_size, start another run with a smaller MODEL= or max_model_len, or "
                "use larger GPUs"
            )


def memory_of(gpu: str) -> tuple[int, int] | None:
    """(total, free) bytes of a GPU; None where nvidia-smi cannot say, of a slice of one for example."""
    command = ["nvidia-smi", f"--id={gpu}", "--query-gpu=memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        total, free = (int(value) * 2**20 for value in answer.split(","))
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None
    return total, free


def gib(value: float) -> str:
    return f"{value / GIB:,.1f}"
