"""How many workers a machine takes, and which of its GPUs or cores are whose."""

import os
from collections.abc import Sequence

from conf.schema import Engine
from store.errors import ConfigError
from store.gpus import Gpu
from store.machine import num_cores


def gpus_per_engine(engine: Engine) -> int:
    """Return engine.throughput.tensor_parallel_size, or one."""
    return engine.throughput.get("tensor_parallel_size", 1)


def num_workers(asked: int, gpus: Sequence[Gpu], each: int) -> int:
    """Return the workers that are asked for (launcher.workers), or with 0 one per `each` GPUs, one on CPU."""
    return asked or max(1, len(gpus) // each)


def take_gpus(gpus: Sequence[Gpu], workers: int, each: int) -> list[Gpu]:
    """Return those of the visible GPUs that the workers take, `each` apiece; ConfigError where there are too few."""
    if len(gpus) < workers * each:
        raise ConfigError(
            f"{workers} workers with engine.throughput.tensor_parallel_size={each} take {workers * each} GPUs and "
            f"{len(gpus)} are visible: lower launcher.workers or tensor_parallel_size, make more visible with "
            "CUDA_VISIBLE_DEVICES, or use ACCELERATOR=cpu"
        )
    if each > 1 and any(gpu.of for gpu in gpus):
        raise ConfigError(
            f"engine.throughput.tensor_parallel_size={each}, and a process can use one MIG instance only: set it to 1"
        )
    return list(gpus[: workers * each])


def gpu_shares(gpus: Sequence[Gpu], world: int) -> list[dict[str, str]]:
    """Return each worker's GPUs: one, or tensor_parallel_size of them."""
    size = len(gpus) // world
    parts = [gpus[rank * size : (rank + 1) * size] for rank in range(world)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(gpu.name for gpu in part)} for part in parts]


def core_shares(world: int) -> list[dict[str, str]]:
    """Return each worker's cores and as many threads; what the user has set stays. One worker has them all by itself.
    Under a quota no core is a worker's own: it has as many threads, wherever they run."""
    cores, share = [str(core) for core in sorted(os.sched_getaffinity(0))], num_cores()
    if world == 1 or "VLLM_CPU_OMP_THREADS_BIND" in os.environ:
        return [{}] * world
    size = max(1, share // world)
    threads = {"OMP_NUM_THREADS": str(size)}
    if share < len(cores):
        return [threads | {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}] * world
    parts = [[cores[(rank * size + place) % len(cores)] for place in range(size)] for rank in range(world)]
    return [threads | {"VLLM_CPU_OMP_THREADS_BIND": ",".join(part)} for part in parts]
