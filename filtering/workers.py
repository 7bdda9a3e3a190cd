"""Shards spread over processes of this machine.

What comes back is in the order of the shards, and an error is that of the first shard that raised one, so nothing shows
how many processes there were.
"""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import repeat
from typing import Any

from conf.reward_file import UNIT_TESTS
from filtering.settings import Scoring
from store.errors import Interrupted, TryAgain
from store.machine import num_cores
from store.processes import die_with_parent

PAIRS_PER_PROCESS = 20_000  # half a second of work, which is what the start of a process takes

Each = Callable[[Callable[..., Any], Iterable[tuple]], list[Any]]  # a function, the arguments of each call: its results

_shared: tuple[Any, ...]  # of a worker process


def num_processes(setting: int, num_pairs: int, scoring: Scoring | None = None) -> int:
    """Return launcher.filter_processes, or with 0 what the work is worth: one for a function of the user's, whose
    memory is unknown; one per core for programs that are run, and fewer where rules score few pairs."""
    if setting or (scoring and scoring.function):
        return setting or 1
    runs_programs = scoring is not None and UNIT_TESTS in scoring.rewards
    return num_cores() if runs_programs else max(1, min(num_cores(), num_pairs // PAIRS_PER_PROCESS))


@contextlib.contextmanager
def spread(processes: int, *shared: Any) -> Iterator[Each]:
    """Yield `each(function, tasks)`, which calls function(*shared, *task) for every task in so many processes, in this
    one where it is one. None of them outlives the context or this process; `shared` is sent to each of them once."""
    if processes <= 1:
        yield lambda function, tasks: [function(*shared, *task) for task in tasks]
        return
    spawn = multiprocessing.get_context("spawn")  # a fork would share threads of Arrow and of Polars, and hang
    pool = ProcessPoolExecutor(processes, spawn, initializer=_begin, initargs=(shared, os.getpid()))
    try:
        yield lambda function, tasks: list(pool.map(_call, repeat(function), tasks))
    except BrokenProcessPool:
        raise TryAgain(
            "a process of filtering ended before its work, as when the kernel kills it for lack of memory. Run the "
            "same command again, and with ARGS=launcher.filter_processes=1 if that happens twice: shards that are "
            "written are kept"
        ) from None
    except (Interrupted, KeyboardInterrupt):
        for process in multiprocessing.active_children():
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(shared: tuple[Any, ...], parent: int) -> None:
    global _shared
    _shared = shared
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends its workers
    die_with_parent()
    if os.getppid() != parent:  # it has died already
        os._exit(1)


def _call(function: Callable[..., Any], task: tuple) -> Any:
    return function(*_shared, *task)
