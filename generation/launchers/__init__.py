"""Where a stage's workers run, by `launcher.kind`. Wherever that is, a worker is the same command on the same folder.

A launcher returns once every planned shard is on disk, and leaves no process behind. Publishing is first-writer-wins,
so a worker that is started twice, or goes on after it was taken for dead, costs time and nothing else.
"""

from collections.abc import Callable
from typing import Any

from conf.schema import Config
from generation.launchers.devices import core_shares, gpu_shares, num_workers, take_gpus
from generation.launchers.supervisor import Supervisor, worker_command
from generation.plan import Plan
from generation.preflight import require_machine
from generation.progress import Progress
from store.checkpoints import locate
from store.filesystem import require_storage
from store.gpus import visible_gpus
from store.run import Run


def _local(run: Run, config: Config, plan: Plan, progress: Progress) -> None:
    gpus = visible_gpus() if config.device == "cuda" else []
    world = num_workers(config, gpus)
    require_storage(run.dir, several_writers=world > 1)
    gpus = take_gpus(config, gpus, world)
    require_machine(run, config, locate(run, plan.iteration)[0], world, gpus)
    logs = run.iteration(plan.iteration).logs
    command = worker_command(run, plan.iteration)
    shares = gpu_shares(gpus, world) if gpus else core_shares(world)
    Supervisor(command, range(world), world, config.launcher.max_restarts, logs, shares).run(progress)


def _slurm(*arguments: Any) -> None:
    from generation.launchers.slurm import launch

    launch(*arguments)


def _ray(*arguments: Any) -> None:
    from generation.launchers.ray import launch

    launch(*arguments)


LAUNCHERS: dict[str, Callable[[Run, Config, Plan, Progress], None]] = {"local": _local, "slurm": _slurm, "ray": _ray}
