"""A program that tries what the sandbox must refuse; filtering.sandbox.bubblewrap runs it before any other."""

import os
import socket
import sys
import threading


def is_refused(what):
    """Whether something cannot be done here."""
    try:
        ATTEMPTS[what]()
    except (OSError, MemoryError, RuntimeError):
        return True
    return False


def process():
    if not os.fork():
        os._exit(0)


def more_memory():
    return bytearray(2**30)


def write():
    for folder in ("/", "/tmp", "/dev", "/usr", os.path.dirname(sys.executable)):
        try:
            os.close(os.open(f"{folder}/stasc-probe", os.O_WRONLY | os.O_CREAT))
            os.unlink(f"{folder}/stasc-probe")
        except OSError:
            continue
        return
    raise OSError


def raise_limits():
    import resource

    try:
        resource.setrlimit(resource.RLIMIT_AS, (2**40, 2**40))
    except ValueError:  # as Python says that it may not
        raise OSError from None


ATTEMPTS = {
    "a process": process,
    "a thread": lambda: threading.Thread(target=print).start(),
    "memory": more_memory,
    "a file": write,
    "memory of no process": lambda: os.memfd_create("x"),
    "a socket": socket.socket,
    "other processes": lambda: os.listdir("/proc"),
    "higher limits": raise_limits,
}
