"""A generation stage in the background: seen by its files and its processes, disturbed, and compared with `alone`, the
same run drawn by one undisturbed process."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import Workspace, make_workspace

# An engine that takes its time: 92 steps of 0.2 seconds for two requests at a time.
SLOW = ["+engine.args.step_seconds=0.2", "launcher.shard_questions=1"]
TWO_AT_A_TIME = "engine.throughput.max_num_seqs=2"
NUM_SHARDS = 32


@contextlib.contextmanager
def with_reference(folder: Path, model: Path) -> Iterator[Workspace]:
    """A workspace that holds the run `alone`; nothing that runs in it is left."""
    place = make_workspace(folder, model)
    place.settings += SLOW
    place.start("alone", "engine.throughput.max_num_seqs=1000")
    place.quick_stage("generation", "run=alone", "iteration=0")
    assert len(samples(place, "alone")) == 2 * (NUM_SHARDS + 1)  # and two manifests
    yield place
    for pid in processes(place):
        kill(pid, signal.SIGKILL)


def configure(place: Workspace, run: str, *overrides: str) -> None:
    """Make a run, or change how an old one is executed."""
    if place.run(run).exists():
        place.quick_stage("conf", f"run={run}", *overrides)
    else:
        place.start(run, TWO_AT_A_TIME, *overrides)


@dataclass(frozen=True)
class Background:
    """A stage at work. What it says goes to a file: a pipe ends with the last process that holds it, an orphan too."""

    process: subprocess.Popen
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def end(self, expected: int = 0) -> None:
        """Wait for its end, which must be with this exit code."""
        assert self.process.wait(180) == expected, self.said


def begin(place: Workspace, run: str, *overrides: str, within: Sequence[str] = ()) -> Background:
    """Start the generation stage of a run, by a command before it if one is given."""
    configure(place, run, *overrides)
    command = [*within, sys.executable, "-m", "generation", f"run={run}", "iteration=0"]
    with open(place.folder / f"{run}.log", "wb") as log:
        process = subprocess.Popen(command, cwd=place.folder, env=place.environment, stdout=log, stderr=log)
    return Background(process, Path(log.name))


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come true within {seconds} s"
        time.sleep(0.05)


def samples(place: Workspace, run: str) -> dict[str, bytes]:
    """The files of iter_00's two tables, but for what a killed writer left hidden."""
    folders = (place.run(run) / "iter_00" / name for name in ("initial_answers", "corrections"))
    return {f"{f.name}/{path.name}": path.read_bytes() for f in folders for path in f.glob("[!.]*")}


def num_published(place: Workspace, run: str) -> int:
    return len(list((place.run(run) / "iter_00" / "corrections").glob("*.parquet")))


def processes(place: Workspace, text: str = "") -> list[int]:
    """The processes that work in the workspace's folder and have `text` in their command."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it ended meanwhile
            if entry.name.isdecimal() and os.readlink(entry / "cwd") == str(place.folder):
                found += [int(entry.name)] if text in (entry / "cmdline").read_text() else []
    return found


def process_table(place: Workspace) -> str:
    """Every process of the workspace with its parent, group, state and command, as `ps` prints it."""
    found = processes(place)
    fields = ["-ww", "-o", "pid,ppid,pgid,stat,args", "-p", ",".join(map(str, found))]
    return subprocess.run(["ps", *fields], capture_output=True, text=True).stdout if found else "no process is left\n"


def kill(pid: int, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signum)


def assert_alike(place: Workspace, run: str) -> None:
    """The run's samples are those of `alone`, and nobody is left at work."""
    assert samples(place, run) == samples(place, "alone")
    until(lambda: not processes(place), 10)
