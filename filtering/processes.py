"""Shards spread over processes of this machine: each has a `Shards` of its own and gets the next one when it is free.

What comes back is in the order of the shards, and an error is that of the first shard that raised one, so nothing shows
how many processes there were.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

from data.errors import NotEnoughMemory, TryAgain
from filtering.shards import Shards

PAIRS_PER_PROCESS = 20_000  # half a second of work, which is what the start of a process takes
GRACE_SECONDS = 3  # between SIGTERM and SIGKILL

Map = Callable[[str, Iterable[tuple]], list[Any]]  # a method of Shards, its arguments for each shard: what it returns


def num_processes(setting: int, num_pairs: int) -> int:
    """launcher.filter_processes, or with 0 as many as there are cores, fewer where they would have little to do."""
    return setting or max(1, min(len(os.sched_getaffinity(0)), num_pairs // PAIRS_PER_PROCESS))


@contextlib.contextmanager
def spread(shards: Shards, processes: int) -> Iterator[Map]:
    """A Map over so many processes, this one where it is one. None of them outlives the context or this process."""
    if processes <= 1:
        yield lambda method, tasks: [getattr(shards, method)(*task) for task in tasks]
        return
    workers: dict[Connection, subprocess.Popen] = {}
    try:
        for _ in range(processes):
            ours, theirs = Pipe()
            workers[ours] = start(theirs)
        for connection, process in workers.items():
            send(connection, process, shards)
        yield lambda method, tasks: work(workers, method, tasks)
    except BaseException:
        for process in workers.values():
            process.terminate()
        raise
    finally:
        stop(workers)


def start(connection: Connection) -> subprocess.Popen:
    descriptor = connection.fileno()
    command = [sys.executable, "-m", "filtering.worker", str(descriptor), str(os.getpid())]
    with connection:  # the worker has it then
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[descriptor], start_new_session=True)


def work(workers: dict[Connection, subprocess.Popen], method: str, tasks: Iterable[tuple]) -> list[Any]:
    """One task in each worker's hands until all are done, or until those before one that failed are."""
    waiting, idle = deque(enumerate(tasks)), list(workers)
    results, errors, in_hand = [None] * len(waiting), {}, {}
    while waiting or in_hand:
        while waiting and idle:
            connection = idle.pop()
            in_hand[connection], arguments = waiting.popleft()
            send(connection, workers[connection], (method, arguments))
        for connection in wait(list(in_hand)):
            number = in_hand.pop(connection)
            done, results[number] = receive(connection, workers[connection])
            if not done:
                errors[number] = results[number]
                waiting.clear()
            idle.append(connection)
    if errors:
        raise errors[min(errors)]
    return results


def send(connection: Connection, process: subprocess.Popen, message: Any) -> None:
    try:
        connection.send(message)
    except ConnectionError:
        raise died(process) from None


def receive(connection: Connection, process: subprocess.Popen) -> tuple[bool, Any]:
    try:
        return connection.recv()
    except (EOFError, OSError):  # it ended before an answer, or within one
        raise died(process) from None


def died(process: subprocess.Popen) -> Exception:
    """The error for a worker that ended by itself."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    code = process.returncode
    if code == -signal.SIGKILL:
        return NotEnoughMemory(
            f"process {process.pid} of filtering was killed (SIGKILL), as the kernel does where memory runs out. Make "
            "room, or take fewer processes (ARGS=launcher.filter_processes=1), and run the same command again: shards "
            "that are written are kept"
        )
    how = f"exit code {code}" if code is None or code >= 0 else f"signal {signal.Signals(-code).name}"
    return TryAgain(
        f"process {process.pid} of filtering ended with {how}. Run the same command again, and with "
        "ARGS=launcher.filter_processes=1 if that happens twice: shards that are written are kept"
    )


def stop(workers: dict[Connection, subprocess.Popen]) -> None:
    """A worker whose connection closes ends; one that does not is killed."""
    for connection in workers:
        connection.close()
    deadline = time.monotonic() + GRACE_SECONDS
    for process in workers.values():
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
