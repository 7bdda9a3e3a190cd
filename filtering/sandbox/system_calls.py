"""The system calls that a program and its tests are refused, as a filter that the kernel applies (seccomp)."""

import struct

# The numbers are x86-64's (arch/x86/entry/syscalls/syscall_64.tbl of Linux).
REFUSED = {
    # processes and threads
    "clone": 56, "fork": 57, "vfork": 58, "clone3": 435,
    # memory that is in no address space
    "shmget": 29, "semget": 64, "msgget": 68, "mq_open": 240, "memfd_create": 319, "memfd_secret": 447, "add_key": 248,
    "request_key": 249, "keyctl": 250, "inotify_init": 253, "inotify_init1": 294, "fanotify_init": 300,
    "io_uring_setup": 425, "socket": 41, "socketpair": 53,
    # other processes
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "pidfd_open": 434,
    "pidfd_getfd": 438, "process_madvise": 440,
    # namespaces and mounts
    "pivot_root": 155, "chroot": 161, "mount": 165, "umount2": 166, "unshare": 272, "setns": 308, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsmount": 432, "mount_setattr": 442,
    # waiting, which takes no processor time
    "poll": 7, "select": 23, "pause": 34, "nanosleep": 35, "rt_sigtimedwait": 128, "rt_sigsuspend": 130,
    "clock_nanosleep": 230, "pselect6": 270, "ppoll": 271,
    # more of the kernel than a computation needs
    "perf_event_open": 298, "bpf": 321, "userfaultfd": 323,
}  # fmt: skip
ARCHITECTURE = 0xC000003E  # AUDIT_ARCH_X86_64
X32 = 0x40000000  # from here on the numbers of another interface to the same calls
EPERM = 1


def seccomp_filter() -> bytes:
    """Return the program of classic BPF, as seccomp(2) takes it, that answers REFUSED with EPERM and lets the other
    calls through; a call of another architecture ends the process."""
    load, jump_if_equal, jump_if_not_less, give = 0x20, 0x15, 0x35, 0x06
    allow, refuse, end = 0x7FFF0000, 0x00050000 | EPERM, 0x80000000
    calls = sorted(REFUSED.values())
    steps = [
        (load, 0, 0, 4), (jump_if_equal, 1, 0, ARCHITECTURE), (give, 0, 0, end),
        (load, 0, 0, 0), (jump_if_not_less, len(calls) + 1, 0, X32),
        *((jump_if_equal, len(calls) - row, 0, call) for row, call in enumerate(calls)),
        (give, 0, 0, allow), (give, 0, 0, refuse),
    ]  # fmt: skip
    return b"".join(struct.pack("<HBBI", *step) for step in steps)
