"""A stage's command in a forked child: what it imports is there already, so a run costs a tenth of a second."""

import atexit
import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from store.errors import stage_main

LIMIT_SECONDS = 300  # a child that takes longer hangs, and is ended by SIGALRM

Command = Callable[[list[str]], None]


def nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True)
class Ended:
    """How a command ended. code: its exit code, or the number of the signal that killed it, negative."""

    code: int
    said: str


@dataclass(frozen=True)
class Child:
    pid: int
    output: int

    def wait(self) -> Ended:
        """Wait for the child's end; what it printed is read then."""
        _, status = os.waitpid(self.pid, 0)
        size = os.fstat(self.output).st_size
        said = os.pread(self.output, size, 0).decode(errors="replace")
        os.close(self.output)
        return Ended(os.waitstatus_to_exitcode(status), said)


def start(command: Command, argv: list[str], folder: Path, prepare: Callable[[], object] = nothing) -> Child:
    """Start `command(argv)` in `folder`; `prepare` is called in the child first."""
    output = os.memfd_create("output")
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return Child(pid, output)
    try:
        atexit._clear()  # a stage runs its exit handlers, and those of this process are not its to run
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout, sys.stderr = (open(fd, "w", buffering=1, closefd=False) for fd in (1, 2))  # noqa: SIM115
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # not this process's own limit of time
        faulthandler.register(signal.SIGALRM, chain=True)  # tells where it hangs
        signal.alarm(LIMIT_SECONDS)
        os.chdir(folder)
        sys.argv = ["a stage", *argv]
        prepare()
        stage_main(command)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code)


def run(command: Command, argv: list[str], folder: Path, prepare: Callable[[], object] = nothing) -> Ended:
    """Run `command(argv)` in `folder` to its end."""
    return start(command, argv, folder, prepare).wait()
