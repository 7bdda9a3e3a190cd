"""Real commands in real processes: signals, kills, engines that die, hang or refuse, runs that are held, bad places.

A stage that is stopped must end within ten seconds and leave no process; run again, it must leave the same tree.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow.parquet as pq

from faults.stages import RUN, Bench, Tree, settings, tree
from faults.tally import PROMISED, SILENT, STOPPED, Tally
from tests.conftest import ROOT

MOST_SECONDS = 10  # to end after a signal
STEP_SECONDS = 0.2  # of the slow engine: a whole generation takes some seconds
WAYS = {  # signals, and the exit codes that may come of them; negative ones before the stage has taken signals over
    "SIGTERM": ((signal.SIGTERM,), (143, -15)),
    "SIGINT": ((signal.SIGINT,), (130, -2)),
    "SIGTERM twice": ((signal.SIGTERM, signal.SIGTERM), (143, -15)),
    "SIGINT twice": ((signal.SIGINT, signal.SIGINT), (130, -2)),
    "SIGKILL": ((signal.SIGKILL,), (-9,)),
}


@dataclass
class Place:
    """A folder with a run whose engine is slow, and every process that was started in it."""

    folder: Path
    scratch: Path
    overrides: tuple[str, ...] = ()
    number: int = 0  # of commands started

    @cached_property
    def marker(self) -> str:
        return f"STASC_FAULTS={uuid.uuid4().hex}"

    def command(self, *command: str) -> subprocess.Popen:
        """Start `python -m <command>`."""
        return self.start([sys.executable, "-m", *command])

    def start(self, arguments: list[str]) -> subprocess.Popen:
        """Start a program in a session of its own; `said` is what this one and its children say."""
        name, _, value = self.marker.partition("=")
        environment = os.environ | {"PYTHONPATH": str(ROOT), name: value}
        self.number += 1
        with open(self.folder / f"said-{self.number}", "wb") as said:
            return subprocess.Popen(
                arguments, cwd=self.folder, env=environment, stdout=said, stderr=said, start_new_session=True
            )

    def run(self, *command: str) -> int:
        return self.command(*command).wait(300)

    @property
    def said(self) -> str:
        return (self.folder / f"said-{self.number}").read_text(errors="replace")

    def begin(self) -> "Place":
        """Return a new folder with a run up to its questions and base model."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        slow = [f"+engine.args.step_seconds={STEP_SECONDS}", "engine.throughput.max_num_seqs=16", "launcher.workers=2"]
        for command in (("conf", *settings(self.scratch), *slow, *self.overrides), ("data",), ("training.base_model",)):
            assert self.run(command[0], f"run={RUN}", *command[1:]) == 0, self.said
        return self

    def processes(self) -> Iterator[int]:
        """Those alive that were started here, directly or not."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and int(entry.name) != os.getpid():
                try:
                    environment = (entry / "environ").read_bytes()
                except (FileNotFoundError, ProcessLookupError, PermissionError):
                    continue
                if self.marker.encode() in environment.split(b"\0"):
                    yield int(entry.name)

    def workers(self) -> list[int]:
        """Those of them that are generation's workers."""
        return [pid for pid in self.processes() if b"generation.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def wait_for_none(self, seconds: float) -> list[int]:
        """Return the processes that are still there after `seconds`."""
        deadline = time.monotonic() + seconds
        while (left := list(self.processes())) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left


GENERATE = ("generation", f"run={RUN}", "iteration=0")


def interrupted(bench: Bench, repetitions: int) -> list[Tally]:
    """Return generation with its workers, stopped in each way at random moments, then run again."""
    place = Place(bench.scratch / "processes", bench.scratch).begin()
    before = bench.scratch / "processes-before"
    shutil.rmtree(before, ignore_errors=True)
    shutil.copytree(place.folder, before)
    started = time.monotonic()
    assert place.run(*GENERATE) == 0, place.said
    seconds, whole = time.monotonic() - started, tree(place.folder)
    draw, tallies = random.Random(0), []
    for way, (signals, codes) in WAYS.items():
        tallies.append(Tally(way))
        for _ in range(repetitions):
            shutil.rmtree(place.folder)
            shutil.copytree(before, place.folder)
            process = place.command(*GENERATE)
            time.sleep(draw.uniform(0, seconds))
            outcome, told = stop(place, process, signals, codes)
            if outcome == PROMISED:
                outcome = finish(place, whole)
            tallies[-1].add(outcome, f"{told}, {place.said[-500:]}")
    return tallies


def stop(place: Place, process: subprocess.Popen, signals: tuple, codes: tuple[int, ...]) -> tuple[str, str]:
    """Signal a stage; it may also have been done already."""
    started = time.monotonic()
    for number in signals:
        process.send_signal(number)
        time.sleep(0.2)
    try:
        code = process.wait(MOST_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return STOPPED, f"did not end within {MOST_SECONDS} s"
    left = place.wait_for_none(MOST_SECONDS - (time.monotonic() - started))
    fine = code in (*codes, 0) and not left
    return PROMISED if fine else STOPPED, f"exit {code}, left {left}, {time.monotonic() - started:.1f} s"


def finish(place: Place, whole: Tree) -> str:
    """Run generation to its end and compare."""
    if place.run(*GENERATE):
        return STOPPED
    return PROMISED if tree(place.folder) == whole else SILENT


def killed_workers(bench: Bench, repetitions: int) -> Tally:
    """SIGKILL to one worker at a random moment: it is started again, and the stage ends as if nothing had been."""
    tally = Tally("worker killed")
    place = Place(bench.scratch / "processes", bench.scratch).begin()
    assert place.run(*GENERATE) == 0, place.said
    whole, draw = tree(place.folder), random.Random(0)
    for _ in range(repetitions):
        shutil.rmtree(place.folder / "runs" / RUN / "iter_00")
        process = place.command(*GENERATE)
        while place.said.count("ready after") < 2 and process.poll() is None:
            time.sleep(0.05)  # killed before its engine has started, a worker is told of, not restarted
        time.sleep(draw.uniform(0, 2))
        for pid in place.workers()[:1]:
            os.kill(pid, signal.SIGKILL)
        code = process.wait(120)
        outcome = STOPPED if code else PROMISED if tree(place.folder) == whole else SILENT
        tally.add(outcome, f"exit {code}: {place.said[-500:]}")
    return tally


def engine_faults(bench: Bench) -> Tally:
    """Return an engine that dies, hangs, or refuses a request on one question: named, and the others' shards are
    kept."""
    tally = Tally("engine dies, hangs, refuses")
    place = Place(bench.scratch / "processes", bench.scratch).begin()
    table = pq.read_table(place.folder / "runs" / RUN / "questions" / "train-00000-of-00001.parquet")
    victim = table["question_id"][9].as_py()  # in the second of three shards
    for fault, seconds, code, told in (
        ("die_on", 600, 1, "train-00001-of-00003.parquet killed the engine twice (signal SIGKILL)"),
        ("hang_on", 20, 1, "train-00001-of-00003.parquet killed the engine twice (no progress)"),
        ("refuse", 600, 0, "quarantined"),
    ):
        place.overrides = (f"+engine.args.{fault}={victim}", f"launcher.hang_seconds={seconds}", "launcher.workers=1")
        ended = place.begin().run(*GENERATE)
        done = len(list((place.folder / "runs" / RUN / "iter_00" / "corrections").glob("*.parquet")))
        fine = ended == code and told in place.said and done and not place.wait_for_none(MOST_SECONDS)
        tally.add(PROMISED if fine else STOPPED, f"{fault}: exit {ended}, {done} shards: {place.said[-600:]}")
    place.overrides = (f"+engine.args.die_on={victim}", "launcher.max_restarts=0")
    ended = place.begin().run(*GENERATE)
    fine = ended == 75 and "max_restarts=0" in place.said
    tally.add(PROMISED if fine else STOPPED, f"no restart allowed: exit {ended}: {place.said[-600:]}")
    return tally


def held(bench: Bench) -> Tally:
    """Every other command while a stage works on the run: 75, and which process holds it."""
    tally = Tally("run is held")
    place = Place(bench.scratch / "processes", bench.scratch).begin()
    process = place.command(*GENERATE)
    while len(list(place.processes())) < 3:
        time.sleep(0.05)
    process.send_signal(signal.SIGSTOP)  # or it might be done before the last of them
    for command in (("conf", f"run={RUN}"), ("data", f"run={RUN}"), ("training.base_model", f"run={RUN}"), GENERATE,
                    ("filtering", f"run={RUN}", "iteration=0"), ("training", f"run={RUN}", "iteration=1")):  # fmt: skip
        ended = place.run(*command)
        fine = ended == 75 and f"process {process.pid}" in place.said
        tally.add(PROMISED if fine else STOPPED, f"{command}: exit {ended}: {place.said}")
    process.terminate()
    process.send_signal(signal.SIGCONT)
    process.wait()
    return tally


def bad_places(bench: Bench) -> Tally:
    """Folders that cannot hold a run: exit code 2 and the path, before anything else."""
    tally = Tally("places that hold no run")
    place = Place(bench.scratch / "processes", bench.scratch)
    for name in ("runs is a file", "the run is a file", "runs is a link to nothing", "runs may not be written to"):
        shutil.rmtree(place.folder, ignore_errors=True)
        place.folder.mkdir()
        runs = place.folder / "runs"
        if name == "runs is a file":
            runs.write_text("")
        elif name == "runs is a link to nothing":
            runs.symlink_to("nowhere")
        else:
            runs.mkdir()
        if name == "the run is a file":
            (runs / RUN).write_text("")
        if name == "runs may not be written to":
            if os.getuid() == 0:
                print(f"{name}: not tried, root may write everywhere", flush=True)
                continue
            runs.chmod(0o555)
        ended = place.run("conf", f"run={RUN}", *settings(bench.scratch))
        tally.add(PROMISED if ended == 2 and "runs" in place.said else STOPPED, f"{name}: exit {ended}: {place.said}")
    return tally
