"""A stage's command in a fork of a process that has imported the stages, once for all tests of a worker.

For what leads to a test's subject: it takes a fraction of a second, where `python -m` imports for one to ten. The
subject itself is started as a user starts it.
"""

import os
import sys
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

from store.errors import stage_main

STAGES = ("conf", "data", "training.base_model", "generation", "filtering", "training")
# What `training` imports once it has rows.
LATE = ("training.memory", "training.model_folder", "training.postflight", "training.trainer")
FORKS = get_context("forkserver")
FORKS.set_forkserver_preload([*(f"{stage}.__main__" for stage in STAGES), *LATE])


def run(command: tuple[str, ...], folder: Path, environment: dict[str, str], log: Path) -> int:
    """Run what `python -m <command>` runs in `folder`, with its output in `log`; return its exit code."""
    process = FORKS.Process(target=become, args=(command, folder, environment, log))
    process.start()
    process.join()
    return process.exitcode


def become(command: tuple[str, ...], folder: Path, environment: dict[str, str], log: Path) -> None:
    """Be that command."""
    with open(log, "wb") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    stage, *sys.argv[1:] = command
    stage_main(import_module(f"{stage}.__main__").main)
