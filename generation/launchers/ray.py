"""Workers as the tasks of a running Ray cluster, placed by the CPUs and GPUs they need.

Ray starts a task again, elsewhere if it must, when its node or process is lost; it goes on with what is missing.
`launcher.cluster` is the address for ray.init, `launcher.args` are the options of ray.remote.
"""

import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from conf.schema import Launcher
from generation.launchers import remote
from generation.plan import Plan
from generation.progress import Progress
from store.errors import ConfigError
from store.run import Run

ANSWER_SECONDS = 10  # for a cluster's port to answer; Ray itself would try for 14 minutes
# What a worker inherits from the stage's environment; everything else is the node's own. Credentials stay here.
FORWARDED = ("PYTHONPATH", "STASC_", "VLLM_", "NCCL_", "LD_LIBRARY_PATH")


def launch(run: Run, plan: Plan, launcher: Launcher, progress: Progress) -> None:
    """Start one task per worker, wait for the shards, cancel what is left."""
    logs, world = run.iteration(plan.iteration).logs, launcher.workers
    environment = {name: value for name, value in os.environ.items() if name.startswith(FORWARDED)}
    work = [
        (command, str(Path.cwd()), str(remote.log_of(logs, rank)), environment)
        for rank, command in enumerate(remote.commands(run, plan, world))
    ]
    ray = connect(launcher.cluster)
    try:
        task = ray.remote(**{"retry_exceptions": True} | launcher.args)(remote.run_command)
        tasks = [task.remote(*arguments) for arguments in work]
        try:
            remote.watch(run, plan, progress, lambda: exit_codes(ray, tasks), world)
        finally:
            for reference in tasks:
                ray.cancel(reference)
            remote.wait_until(lambda: len(exit_codes(ray, tasks)) == world, remote.STOP_SECONDS)
    finally:
        ray.shutdown()  # also ends the processes of tasks that did not


def connect(address: str | None) -> Any:
    """Return the ray module, connected; ConfigError when it is not installed or no cluster answers."""
    try:
        import ray
    except ImportError:
        raise ConfigError("launcher=ray needs ray: `make ray`") from None
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    host, _, port = (address or "").rpartition("//")[2].rpartition(":")
    try:
        if port.isdecimal():
            socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    except (OSError, OverflowError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"launcher.cluster={address}: no Ray cluster answers ({error}); start one with `.venv/bin/ray start --head`"
        ) from None
    for signum, handler in handlers.items():  # Ray takes SIGTERM for itself
        signal.signal(signum, handler)
    ray.cloudpickle.register_pickle_by_value(sys.modules[remote.run_command.__module__])
    return ray


def exit_codes(ray: Any, tasks: list) -> dict[int, int]:
    """{rank: exit code} of the tasks that have ended; one that Ray gave up was lost."""
    ended, _ = ray.wait(tasks, num_returns=len(tasks), timeout=0)
    codes = {}
    for rank, reference in enumerate(tasks):
        if reference in ended:
            try:
                codes[rank] = ray.get(reference)
            except ray.exceptions.RayError:
                codes[rank] = remote.LOST
    return codes
