"""Where a stage's workers run, by `launcher.kind`. Wherever that is, a worker is the same command on the same folder.

A launcher returns once every planned shard is on disk, and leaves no process behind. Publishing is first-writer-wins,
so a worker that is started twice, or goes on after it was taken for dead, costs time and nothing else.
"""

from collections.abc import Callable

from conf.schema import Engine, Launcher
from generation.launchers.devices import core_shares, gpu_shares, gpus_per_engine, num_workers, take_gpus
from generation.launchers.supervisor import Supervisor, worker_command
from generation.plan import Plan
from generation.preflight import require_machine
from generation.progress import Progress
from store.checkpoints import locate
from store.filesystem import require_storage
from store.gpus import visible_gpus
from store.run import Run


def _local(run: Run, plan: Plan, launcher: Launcher, engine: Engine, device: str, progress: Progress) -> None:
    on_gpus, each = device == "cuda", gpus_per_engine(engine)
    gpus = visible_gpus() if on_gpus else []
    world = num_workers(launcher.workers, gpus, each)
    require_storage(run.dir, several_writers=world > 1)
    gpus = take_gpus(gpus, world, each) if on_gpus else []
    require_machine(run, engine, device, locate(run, plan.iteration)[0], world, gpus)
    logs = run.iteration(plan.iteration).logs
    command = worker_command(run, plan.iteration)
    shares = gpu_shares(gpus, world) if gpus else core_shares(world)
    Supervisor(command, range(world), world, launcher.max_restarts, logs, shares).run(progress)


def _slurm(run: Run, plan: Plan, launcher: Launcher, engine: Engine, device: str, progress: Progress) -> None:
    from generation.launchers.slurm import launch

    launch(run, plan, launcher, progress)  # the other machines look at engine and device themselves


def _ray(run: Run, plan: Plan, launcher: Launcher, engine: Engine, device: str, progress: Progress) -> None:
    from generation.launchers.ray import launch

    launch(run, plan, launcher, progress)


# kind -> launch(run, plan, launcher, engine, device, progress)
LAUNCHERS: dict[str, Callable[[Run, Plan, Launcher, Engine, str, Progress], None]] = {
    "local": _local,
    "slurm": _slurm,
    "ray": _ray,
}
