"""Shards spread over processes of this machine, each with a `Shards` of its own.

What comes back is in the order of the shards, and an error is that of the first shard that raised one, so nothing shows
how many processes there were.
"""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import repeat
from typing import Any

from filtering.shards import Shards
from store.errors import Interrupted, TryAgain
from store.machine import num_cores
from store.processes import die_with_parent

PAIRS_PER_PROCESS = 20_000  # half a second of work, which is what the start of a process takes

Map = Callable[[str, Sequence[tuple]], list[Any]]  # a method of Shards, its arguments for each shard: what it returns

_shards: Shards  # of a worker process


def num_processes(setting: int, num_pairs: int) -> int:
    """launcher.filter_processes, or with 0 one per core, fewer where they would have little to do."""
    return setting or max(1, min(num_cores(), num_pairs // PAIRS_PER_PROCESS))


@contextlib.contextmanager
def spread(shards: Shards, processes: int) -> Iterator[Map]:
    """A Map over so many processes, this one where it is one. None of them outlives the context or this process."""
    if processes <= 1:
        yield lambda method, tasks: [getattr(shards, method)(*task) for task in tasks]
        return
    spawn = multiprocessing.get_context("spawn")  # a fork would share Arrow's threads
    pool = ProcessPoolExecutor(processes, spawn, initializer=_begin, initargs=(shards, os.getpid()))
    try:
        yield lambda method, tasks: list(pool.map(_call, repeat(method), tasks))
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


def _begin(shards: Shards, parent: int) -> None:
    global _shards
    _shards = shards
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends its workers
    die_with_parent()
    if os.getppid() != parent:  # it has died already
        os._exit(1)


def _call(method: str, arguments: tuple) -> Any:
    return getattr(_shards, method)(*arguments)
