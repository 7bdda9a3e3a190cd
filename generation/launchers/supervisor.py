"""Starts workers, watches them, restarts those whose engine died, and leaves no process behind.

An engine may be killed by the kernel, crash, or hang (its own watchdog then ends it). Such a worker is started again,
with a growing pause; what it had in progress is sampled again with the same seeds. From the second start on it holds
one shard at a time, so that a shard which kills twice is known by name. An engine that never started did not die: what
kept it from starting would do so again, and is told at once.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from generation.launchers.failed_start import explain, last_words
from generation.progress import Progress
from store.errors import PipelineError
from store.machine import engine_memory
from store.run import Run

GRACE_SECONDS = 8  # between SIGTERM and SIGKILL
RETRIED = (1, 75)  # 1: the watchdog's exit; 75: the engine raised; a death by signal is negative


class WorkerFailed(PipelineError):
    """A worker ended with something a restart does not fix; carries its exit code."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass
class Worker:
    rank: int
    process: subprocess.Popen
    events: BinaryIO
    log: Path
    log_start: int  # bytes of the log that are earlier workers'
    in_hand: set[str] = field(default_factory=set)
    error: dict[str, Any] | None = None
    buffer: bytes = b""


class Supervisor:
    """Runs `command + [rank=, world=, serial=, events=]` in a process per rank until each has exited with 0.

    ranks: those of `world` that run on this machine. shares: the environment variables that give each of them its part
    of the machine, none where the launcher did so.
    """

    def __init__(
        self, command: list[str], ranks: Sequence[int], world: int, max_restarts: int, logs: Path,
        shares: Sequence[Mapping[str, str]] = (),
    ) -> None:  # fmt: skip
        self.command, self.ranks, self.world, self.max_restarts, self.logs = command, ranks, world, max_restarts, logs
        self.shares = shares
        self.deaths: Counter[str] = Counter()
        self.restarts = 0
        self.started: set[int] = set()  # ranks whose engine has started at least once
        self.selector = selectors.DefaultSelector()
        self.workers: list[Worker] = []

    def run(self, progress: Progress) -> None:
        try:
            for rank in self.ranks:
                self._start(rank)
            while self.workers:
                for key, _ in self.selector.select(timeout=1):
                    self._read(key.data, progress)
                for worker in [w for w in self.workers if has_ended(w.process)]:
                    self._reap(worker, progress)
                progress.show()
        finally:
            self._stop_all()

    def _start(self, rank: int) -> None:
        read_end, write_end = os.pipe()
        log = self.logs / f"generation-{rank}.log"
        arguments = [f"rank={rank}", f"world={self.world}", f"serial={int(self.restarts > 0)}", f"events={write_end}"]
        with open(log, "ab") as output:
            log_start = output.tell()
            process = subprocess.Popen(
                self.command + arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                pass_fds=(write_end,), start_new_session=True,
                env=os.environ | engine_memory() | dict(self.shares[rank] if self.shares else {}),
            )  # fmt: skip
        os.close(write_end)
        os.set_blocking(read_end, False)
        worker = Worker(rank, process, os.fdopen(read_end, "rb", buffering=0), log, log_start)
        self.workers.append(worker)
        self.selector.register(worker.events, selectors.EVENT_READ, worker)

    def _read(self, worker: Worker, progress: Progress) -> None:
        chunk = worker.events.read(1 << 16)
        if not chunk:
            return
        *lines, worker.buffer = (worker.buffer + chunk).split(b"\n")
        for line in lines:
            event = json.loads(line)
            if event["event"] == "start":
                worker.in_hand.add(event["shard"])
            elif event["event"] == "done":
                worker.in_hand.discard(event["shard"])
            elif event["event"] == "engine":
                self.started.add(worker.rank)
            elif event["event"] == "error":
                worker.error = event
            progress.take(worker.rank, event)

    def _reap(self, worker: Worker, progress: Progress) -> None:
        """Forget a worker that exited with 0; restart one whose engine died; raise for anything else."""
        signal_group(worker.process, signal.SIGKILL)  # what it started and left behind
        code = worker.process.wait()
        self._read(worker, progress)
        self._forget(worker)
        if code == 0:
            return
        if code <= 1 and worker.rank not in self.started:
            raise WorkerFailed(*explain(code, said(worker), worker.log))
        if code > 1 and code not in RETRIED:
            message = worker.error["message"] if worker.error else f"worker {worker.rank} failed:\n{tail(worker.log)}"
            raise WorkerFailed(code, message)
        how = f"signal {signal.Signals(-code).name}" if code < 0 else (worker.error or {}).get("message")
        how = how or last_words(said(worker))
        self.deaths.update(worker.in_hand)
        for shard in sorted(worker.in_hand):
            if self.deaths[shard] > 1 and len(worker.in_hand) == 1:
                raise WorkerFailed(
                    1, f"shard {shard} killed the engine twice ({how}); see {worker.log}. Look at its questions, or "
                    "move the one at fault out of the data, and run the same command again: the other shards are kept"
                )  # fmt: skip
        if self.restarts >= self.max_restarts:
            raise WorkerFailed(
                75, f"the engine died {self.restarts + 1} times ({how}), launcher.max_restarts={self.max_restarts}; "
                f"the last lines of {worker.log}:\n{tail(worker.log)}\nRun the same command again to go on"
            )  # fmt: skip
        self.restarts += 1
        pause = min(2**self.restarts, 60)
        print(
            f"worker {worker.rank} lost its engine ({how}); starting it again in {pause} s", file=sys.stderr, flush=True
        )
        time.sleep(pause)
        self._start(worker.rank)

    def _forget(self, worker: Worker) -> None:
        self.selector.unregister(worker.events)
        worker.events.close()
        self.workers.remove(worker)

    def _stop_all(self) -> None:
        """SIGTERM to every worker's process group, SIGKILL to what is left: also to children of a dead worker."""
        for worker in self.workers:
            signal_group(worker.process, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        for worker in list(self.workers):
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            signal_group(worker.process, signal.SIGKILL)
            worker.process.wait()
            self._forget(worker)


def worker_command(run: Run, iteration: int) -> list[str]:
    """Return the command of a worker; rank, world, serial and events are added by its supervisor."""
    return [sys.executable, "-m", "generation.worker", f"run={run.name}", f"iteration={iteration}"]


def has_ended(process: subprocess.Popen) -> bool:
    """Whether a child has ended; it stays to be waited for, so its id is still that of its process group."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def signal_group(process: subprocess.Popen, signum: int) -> None:
    """Signal a worker and everything it started; nothing left of it is fine."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signum)


def said(worker: Worker) -> str:
    """Return what this worker, and no earlier one of its rank, has written into its log."""
    return worker.log.read_bytes()[worker.log_start :].decode(errors="replace")


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a worker's log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
