"""Processes that a stage starts, and that must not outlive it."""

import ctypes
import signal


def die_with_parent(signum: int = signal.SIGKILL) -> None:
    """Linux: a worker whose parent is killed gets this signal, so that none is left holding memory."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signum)
