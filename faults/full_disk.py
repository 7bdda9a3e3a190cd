"""A disk that is really full: every stage on file systems of growing size, in a mount namespace of its own.

As promised is: exit code 74 with the path and the free bytes; once there is room, the tree of an uninterrupted run.
"""

import ctypes
import os
import shutil
from pathlib import Path

from faults.children import run
from faults.stages import Bench, Stage, tree
from faults.tally import PROMISED, SILENT, STOPPED, Tally
from store.errors import ConfigError

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_REMOUNT, MS_REC, MS_PRIVATE = 0x20, 0x4000, 0x40000
PAGE = 4096
STEPS = (0, 1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32)  # pages more than the stage begins with


def full_disks(bench: Bench) -> Tally:
    """All stages at all sizes; nothing is tried where this user may not mount."""
    tally = Tally("disk really full")
    record = bench.scratch / "full-disk"
    for stage in bench.stages:
        record.unlink(missing_ok=True)
        ended = run(lambda argv, stage=stage: fill(bench, stage, record), [], bench.scratch)
        if ended.code == 2:
            print(f"disk really full: not tried, {ended.said.strip()}", flush=True)
            return tally
        assert ended.code == 0, ended.said
        for line in record.read_text().splitlines():
            tally.add(*line.split("\t", 1))
    return tally


def fill(bench: Bench, stage: Stage, record: Path) -> None:
    """In a child: mount, run the stage, make room, run it again; an outcome a line goes to `record`."""
    mine = bench.scratch / "mounted"
    mine.mkdir(exist_ok=True)
    enter_namespace()
    used = PAGE + sum(PAGE + -(-path.stat().st_size // PAGE) * PAGE for path in stage.before.rglob("*"))
    with open(record, "a") as out:
        for pages in STEPS:
            mount("tmpfs", mine, 0, f"size={used + pages * PAGE}")
            folder = shutil.copytree(stage.before, mine / "run")
            first = stage.run(folder)
            mount("tmpfs", mine, MS_REMOUNT, "size=64m")
            told = first.code == 0 or (first.code == 74 and "bytes free" in first.said and "runs/" in first.said)
            second = stage.run(folder)
            same = tree(folder) == stage.after
            outcome = STOPPED if second.code or not told else PROMISED if same else SILENT
            said = f"{stage.name}, {pages} pages: {first} {second}".replace("\n", " ")
            out.write(f"{outcome}\t{said}\n")
            check(ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(mine), 0), "umount")
            if first.code == 0:
                return


def enter_namespace() -> None:
    """Mounts of this process are nobody else's from here on; ConfigError, so exit code 2, where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    check(libc.unshare(CLONE_NEWNS | (CLONE_NEWUSER if user else 0)), "unshare")
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount")


def mount(kind: str, target: Path, flags: int, options: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    check(libc.mount(kind.encode(), os.fsencode(target), kind.encode(), flags, options.encode()), "mount")


def check(result: int, call: str) -> None:
    """ConfigError when a system call did not succeed."""
    if result:
        raise ConfigError(f"{call} is not allowed here ({os.strerror(ctypes.get_errno())})")
