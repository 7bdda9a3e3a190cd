"""What a program and its tests may use, kept by the kernel.

Resource limits hold for root too, as nobody in the sandbox has a capability that would raise them. They count the
address space of a process, and processes by user, root's not at all: filtering.sandbox.system_calls refuses what
would hold memory elsewhere, and every further process and thread.
"""

import os
import resource

CPU_SECONDS = 10
MEMORY_BYTES = 512 * 2**20
LIMITS = {
    resource.RLIMIT_CPU: CPU_SECONDS,
    resource.RLIMIT_AS: MEMORY_BYTES,
    resource.RLIMIT_FSIZE: 0,  # a byte written to a file is an error; pipes and sockets are no files
    resource.RLIMIT_NOFILE: 32,
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_MEMLOCK: 0,
    resource.RLIMIT_MSGQUEUE: 0,
    resource.RLIMIT_SIGPENDING: 64,
}
VERDICT_BYTES = 2**16


def set_limits(**others: int) -> None:
    """Limit this process for good. others: limits of another size, by their names in `resource`."""
    for limit, size in (LIMITS | {getattr(resource, name): size for name, size in others.items()}).items():
        resource.setrlimit(limit, (size, size))


def silence() -> None:
    """Give this process nothing to read, and nobody who reads what it prints."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.close(nothing)
