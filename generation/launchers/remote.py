"""Workers on other machines: what a Slurm job or a Ray task runs, and how the stage waits for all of them.

    python -m generation.launchers.remote run=demo iteration=2 rank=0 world=4

One worker under a supervisor of its own, which restarts a dead engine as it does on one machine; Slurm and Ray restart
what takes the supervisor along: a machine, a job that is pre-empted or out of time. Strings travel to the other
machine; what was made comes back through the run's folder, which all machines share.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from conf.stored import load
from generation.context import ShardContext
from generation.launchers.devices import gpus_per_engine, take_gpus
from generation.launchers.supervisor import Supervisor, WorkerFailed, tail, worker_command
from generation.plan import Plan, read_plan
from generation.preflight import require_machine
from generation.progress import Progress, num_samples
from store.checkpoints import locate
from store.errors import ConfigError, stage_main
from store.filesystem import require_storage
from store.gpus import visible_gpus
from store.processes import die_with_parent
from store.run import Run, iteration_number, stage_arguments

POLL_SECONDS = 1
VISIBLE_SECONDS = 120  # NFS clients keep a folder's listing for up to 60 s
WIND_UP_SECONDS = 30  # for the last workers, once every shard is on disk: they write what they cost
STOP_SECONDS = 20  # from the request to end until a supervisor has ended its worker
LOST = 75  # the exit code of a worker whose machine, job or engine was lost
SAME_ANYWHERE = range(9)  # the exit codes (store.errors) of what is not one machine's: not I/O errors and signals


def main(argv: list[str]) -> None:
    die_with_parent(signal.SIGTERM)  # not SIGKILL: the worker is to be ended too
    arguments = stage_arguments(argv, "generation.launchers.remote", "run", "iteration", "rank", "world")
    run, iteration = Run(arguments["run"]), iteration_number(arguments["iteration"])
    rank, world = int(arguments["rank"]), int(arguments["world"])
    config, folder = load(run), run.iteration(iteration)
    gpus = take_gpus(visible_gpus(), 1, gpus_per_engine(config.engine)) if config.device == "cuda" else []
    require_machine(run, config.engine, config.device, locate(run, iteration)[0], 1, gpus)
    progress = Progress(f"worker {rank}", num_samples(read_plan(folder.dir)))
    command = worker_command(run, iteration)
    Supervisor(command, [rank], world, config.launcher.max_restarts, folder.logs).run(progress)


def commands(run: Run, plan: Plan, world: int) -> list[list[str]]:
    """Return the command for each rank; ConfigError where the number of workers was left to this machine."""
    if world == 0:
        raise ConfigError(
            "launcher.workers=0 is one worker per GPU of this machine, and these run on others: give their number, "
            'e.g. ARGS="launcher.workers=8"'
        )
    require_storage(run.dir, several_writers=world > 1)
    shared = [sys.executable, "-m", "generation.launchers.remote", f"run={run.name}", f"iteration={plan.iteration}"]
    return [[*shared, f"rank={rank}", f"world={world}"] for rank in range(world)]


def log_of(folder: Path, rank: int) -> Path:
    """Return what the supervisor of a worker on another machine says."""
    return (folder / f"generation-{rank}-supervisor.log").absolute()


def run_command(command: list[str], folder: str, log: str, environment: Mapping[str, str]) -> int:
    """On the other machine: run `command` in `folder` until it ends. Returns an exit code that would be the same
    anywhere; raises ChildProcessError for one that another machine or another try may fix."""
    with open(log, "ab") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )  # fmt: skip
    try:
        while process.poll() is None:  # not wait(): Ray cancels with an interrupt that ends no system call
            time.sleep(POLL_SECONDS / 2)
    finally:  # when the job is canceled
        process.terminate()
        process.wait()
    if process.returncode not in SAME_ANYWHERE:
        raise ChildProcessError(f"the worker ended with exit code {process.returncode}; see {log}")
    return process.returncode


def watch(run: Run, plan: Plan, progress: Progress, poll: Callable[[], dict[int, int]], world: int) -> None:
    """Wait until every planned shard is on disk, whoever put it there.

    poll() gives {rank: exit code} of the workers that have ended. WorkerFailed for a failure that no restart fixes, or
    when no worker is left.
    """
    logs, deadline = run.iteration(plan.iteration).logs, float("inf")
    while left := num_missing(run, plan):
        progress.show_shards(len(plan.shards) - left, len(plan.shards))
        ended = poll()
        for rank, code in ended.items():
            if code not in (0, LOST):
                raise WorkerFailed(code, f"worker {rank} failed: {tail(log_of(logs, rank))}")
        if len(ended) == world:
            deadline = min(deadline, time.monotonic() + VISIBLE_SECONDS)
            if 0 not in ended.values() or time.monotonic() > deadline:
                raise WorkerFailed(LOST, lost(left, [log_of(logs, rank) for rank in range(world)]))
        time.sleep(POLL_SECONDS)
    progress.show_shards(len(plan.shards), len(plan.shards))
    wait_until(lambda: len(poll()) == world, WIND_UP_SECONDS)


def lost(left: int, logs: list[Path]) -> str:
    """Return what to say when no worker is left: the end of the log that was written to last, if any was."""
    written = sorted((log for log in logs if log.exists()), key=lambda log: log.stat().st_mtime)
    said = f"\n{tail(written[-1])}" if written else " they never began; do their machines have this folder?"
    return f"all {len(logs)} workers ended, {left} shards are missing:{said}\nRun the same command again to go on"


def num_missing(run: Run, plan: Plan) -> int:
    """How many planned shards are not on disk, by one listing per folder."""
    context = ShardContext(run, plan)
    paths = [[context.path(shard, turn) for turn in range(shard.num_rounds + 1)] for shard in plan.shards]
    present = {folder: set(os.listdir(folder)) for folder in {path.parent for pair in paths for path in pair}}
    return sum(not all(path.name in present[path.parent] for path in pair) for pair in paths)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether `condition` came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS / 2)
    return True


if __name__ == "__main__":
    stage_main(main)
