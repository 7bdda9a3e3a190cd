"""Workers as the jobs of a Slurm array, through submitit.

A job that is pre-empted or out of time is requeued and goes on with what is missing. `launcher.cluster` is submitit's
executor: slurm, or local and debug on this machine; `launcher.args` are the parameters of its AutoExecutor.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.schema import Launcher
from generation.launchers.remote import LOST, STOP_SECONDS, commands, log_of, run_command, wait_until, watch
from generation.plan import Plan
from generation.progress import Progress
from store.errors import ConfigError
from store.run import Run


@dataclass(frozen=True)
class Job:
    """What submitit keeps on disk for a worker: strings. Requeued, it is the same job."""

    command: list[str]
    folder: str
    log: str

    def __call__(self) -> int:
        return run_command(self.command, self.folder, self.log, {})

    def checkpoint(self):
        """Let submitit call it in a job that is about to end before its time."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def launch(run: Run, plan: Plan, launcher: Launcher, progress: Progress) -> None:
    """Submit one job per worker, wait for the shards, cancel what is left."""
    logs, world = run.iteration(plan.iteration).logs, launcher.workers
    work = [
        Job(command, str(Path.cwd()), str(log_of(logs, rank)))
        for rank, command in enumerate(commands(run, plan, world))
    ]
    executor = open_executor(launcher, logs, f"{run.name}-{plan.iteration}")
    jobs: list = []
    codes: dict[int, int] = {}
    try:
        with executor.batch():
            jobs += [executor.submit(job) for job in work]
        watch(run, plan, progress, lambda: exit_codes(jobs, codes), world)
    finally:
        stop([job for rank, job in enumerate(jobs) if rank not in codes])


def open_executor(launcher: Launcher, logs: Path, name: str) -> Any:
    """submitit's executor; ConfigError when it is not installed, does not work here or does not take the parameters."""
    try:
        import submitit
    except ImportError:
        raise ConfigError("launcher=slurm needs submitit: `.venv/bin/python -m pip install submitit`") from None
    try:
        executor = submitit.AutoExecutor(
            logs / "submitit", cluster=launcher.cluster, slurm_max_num_timeout=launcher.max_restarts
        )
        executor.update_parameters(name=name, **launcher.args)
    except (RuntimeError, ValueError, NameError, TypeError, AssertionError) as error:
        raise ConfigError(f"launcher.cluster={launcher.cluster}, launcher.args: submitit says: {error}") from None
    return executor


def exit_codes(jobs: list, codes: dict[int, int]) -> dict[int, int]:
    """`codes` with {rank: exit code} of the jobs that have ended since; a job without a result was lost."""
    from submitit.core.utils import FailedJobError, UncompletedJobError

    for rank, job in enumerate(jobs):
        if rank not in codes and job.done():
            try:
                codes[rank] = job.result()  # waits 15 s for the file of a job that left none
            except (FailedJobError, UncompletedJobError):
                codes[rank] = LOST
    return codes


def stop(jobs: list) -> None:
    """Cancel jobs and wait for their end; those of the debug executor have not begun."""
    from submitit.core.utils import UncompletedJobError

    for job in jobs:
        job.cancel(check=False)
    with contextlib.suppress(UncompletedJobError):
        wait_until(lambda: all(job.done() for job in jobs), STOP_SECONDS)
