"""A stage's command in a fork of a process that has imported the stages, once for all tests of a worker.

It takes a fraction of a second, where `python -m` imports for one to ten. For what leads to a test's subject, and for
all cases of a kind of which one is started as a user starts it.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

from store.errors import stage_main

STAGES = ("conf", "data", "training.base_model", "generation", "filtering", "training")
# What `training` imports once it has rows.
LATE = ("training.memory", "training.model_folder", "training.postflight", "training.trainer")
FORKS = get_context("forkserver")
FORKS.set_forkserver_preload([*(f"{stage}.__main__" for stage in STAGES), *LATE])


def nothing() -> None:
    """Do nothing first."""


def run(
    command: tuple[str, ...], folder: Path, environment: dict[str, str], first: Callable[[], None] = nothing
) -> subprocess.CompletedProcess:
    """Run what `python -m <command>` runs in `folder`, to its end. first: is called in its process before it."""
    with tempfile.TemporaryDirectory() as said:
        outputs = Path(said, "stdout"), Path(said, "stderr")
        process = FORKS.Process(target=become, args=(command, folder, environment, outputs, first))
        process.start()
        try:
            process.join()
        finally:
            process.kill()  # where the test's time was up
        return subprocess.CompletedProcess(
            command, process.exitcode, *(output.read_text(errors="replace") for output in outputs)
        )


def become(
    command: tuple[str, ...], folder: Path, environment: dict[str, str], outputs: tuple[Path, Path],
    first: Callable[[], None],
) -> None:  # fmt: skip
    """Be that command."""
    for descriptor, output in enumerate(outputs, start=1):
        with open(output, "wb") as file:
            os.dup2(file.fileno(), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    name, *sys.argv[1:] = command
    module = import_module(name)
    if hasattr(module, "__path__"):  # a package
        module = import_module(f"{name}.__main__")
    first()
    stage_main(module.main)
