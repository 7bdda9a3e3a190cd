"""How many workers a machine takes, and which of its GPUs or cores are whose."""

import os
import subprocess

from conf.schema import Config
from store.errors import ConfigError


def num_workers(config: Config, gpus: list[str]) -> int:
    """launcher.workers, or with 0 one per GPU (or per tensor_parallel_size of them), one on CPU."""
    per_engine = config.engine.throughput.get("tensor_parallel_size", 1)
    if config.device == "cuda" and len(gpus) < per_engine:
        raise ConfigError(
            f"engine.throughput.tensor_parallel_size={per_engine} but {len(gpus)} GPUs are visible: make more of them "
            "visible with CUDA_VISIBLE_DEVICES, lower it, or use ACCELERATOR=cpu"
        )
    return config.launcher.workers or max(1, len(gpus) // per_engine)


def gpu_shares(gpus: list[str], world: int) -> list[dict[str, str]]:
    """Each worker's GPUs: one, or tensor_parallel_size of them."""
    size = len(gpus) // world
    return [{"CUDA_VISIBLE_DEVICES": ",".join(gpus[rank * size : (rank + 1) * size])} for rank in range(world)]


def core_shares(world: int) -> list[dict[str, str]]:
    """Each worker's cores and as many threads; what the user has set stays. One worker has them all by itself."""
    cores = [str(core) for core in sorted(os.sched_getaffinity(0))]
    if world == 1 or "VLLM_CPU_OMP_THREADS_BIND" in os.environ:
        return [{}] * world
    size = max(1, len(cores) // world)
    parts = [[cores[(rank * size + place) % len(cores)] for place in range(size)] for rank in range(world)]
    return [{"VLLM_CPU_OMP_THREADS_BIND": ",".join(part), "OMP_NUM_THREADS": str(size)} for part in parts]


def visible_gpus() -> list[str]:
    """The GPUs this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [gpu for gpu in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if gpu]
    try:
        listing = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise ConfigError(f"device=cuda but nvidia-smi does not answer ({error}): use ACCELERATOR=cpu") from None
    return [str(index) for index in range(len(listing.splitlines()))]
