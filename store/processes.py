"""Processes that a stage starts, and that must not outlive it.

    python -m store.processes 1234

is a guard: it waits for the end of its parent, process 1234, and kills the process group that both are in.
"""

import ctypes
import os
import signal
import subprocess
import sys


def die_with_parent(signum: int = signal.SIGKILL) -> None:
    """Linux: a worker whose parent is killed gets this signal, so that none is left holding memory."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signum)


def start_guard() -> None:
    """Let this process's whole group end with it, SIGKILL included. What a library starts (vLLM's engine core and its
    workers) is in the group, holds the GPU, and looks for no parent. Only for the leader of a group of its own."""
    if os.getpgrp() == os.getpid():
        subprocess.Popen([sys.executable, "-m", "store.processes", str(os.getpid())], stdin=subprocess.DEVNULL)


def guard(parent: int) -> None:
    """Kill this process's group, itself included, once `parent` has ended. No other signal to the group stops it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    die_with_parent(signal.SIGUSR1)
    while os.getppid() == parent:  # SIGUSR1 may have been sent by hand
        signal.sigwait({signal.SIGUSR1})
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    guard(int(sys.argv[1]))
