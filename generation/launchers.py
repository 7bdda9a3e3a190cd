"""Where a stage's workers run, by `launcher.kind`. Wherever that is, a worker is the same command on the same folder.

A launcher returns once every planned shard is on disk, and leaves no process behind. Publishing is first-writer-wins,
so a worker that is started twice, or goes on after it was taken for dead, costs time and nothing else.
"""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from conf.schema import Config
from data.checkpoints import locate
from data.errors import ConfigError
from data.run import Run
from data.storage import require_storage
from generation.memory import engines_that_fit, require_memory
from generation.plan import Plan
from generation.progress import Progress, num_samples
from generation.supervisor import Supervisor, worker_command

SAMPLES_PER_WORKER = 500  # half a minute of work on a core; an engine takes half of that to start


def _local(run: Run, config: Config, plan: Plan, progress: Progress) -> None:
    gpus = visible_gpus() if config.device == "cuda" else []
    model = locate(run, plan.iteration)[0]
    world = config.launcher.workers or (workers_on_gpus(config, gpus) if gpus else workers_on_cpu(config, model, plan))
    require_storage(run.dir, several_writers=world > 1)
    require_memory(config, model, world, gpus)
    logs = run.iteration(plan.iteration).costs
    command = worker_command(run, plan.iteration)
    shares = gpu_shares(gpus, world) if gpus else core_shares(world)
    Supervisor(command, range(world), world, config.launcher.max_restarts, logs, shares).run(progress)


def _slurm(*arguments) -> None:
    from generation.slurm_launcher import launch

    launch(*arguments)


def _ray(*arguments) -> None:
    from generation.ray_launcher import launch

    launch(*arguments)


LAUNCHERS: dict[str, Callable[[Run, Config, Plan, Progress], None]] = {"local": _local, "slurm": _slurm, "ray": _ray}


def workers_on_gpus(config: Config, gpus: list[str]) -> int:
    """One per GPU, or per tensor_parallel_size of them."""
    per_engine = config.engine.throughput.get("tensor_parallel_size", 1)
    if len(gpus) < per_engine:
        raise ConfigError(
            f"engine.throughput.tensor_parallel_size={per_engine} but {len(gpus)} GPUs are visible: lower it, or "
            "make more GPUs visible with CUDA_VISIBLE_DEVICES"
        )
    return len(gpus) // per_engine


def workers_on_cpu(config: Config, model: Path, plan: Plan) -> int:
    """One of vLLM's engines per core, fewer where memory or samples are few."""
    if config.engine.kind != "vllm":
        return 1
    enough = min(num_samples(plan) // SAMPLES_PER_WORKER, len(plan.shards))
    return max(1, min(len(os.sched_getaffinity(0)), enough, engines_that_fit(config, model)))


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
