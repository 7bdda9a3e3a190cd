"""Run a program and its tests, each in a sandbox of bubblewrap: namespaces of their own, the system read-only, nothing
to write to, no network, no home folder, no environment; limits as filtering.sandbox.limits has them.
"""

import functools
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import IO, NamedTuple

from conf.reward_file import UNIT_TESTS
from filtering.sandbox import program, tests
from filtering.sandbox.limits import CPU_SECONDS
from filtering.sandbox.system_calls import seccomp_filter
from store.errors import ConfigError

SECONDS = 6 * CPU_SECONDS  # by the clock
ROOT = Path(__file__).parents[2]
PROBE = Path(__file__).with_name("probe.py")
REFUSED = ("a process", "a thread", "memory", "a file", "memory of no process", "a socket", "other processes",
           "higher limits")  # fmt: skip
NOBODY = "65534"
DEVNULL = subprocess.DEVNULL
Stream = IO[bytes] | int
SYSTEM = ("/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache")


class Task(NamedTuple):
    """What filtering.sandbox.tests reads, but for the program."""

    tests: list[str]
    setup: str
    names: list[str]


def passed(source: str, task: Task) -> list[bool]:
    """Return which tests a program passes; ConfigError where there is no sandbox. A program that ends, or is out of
    time, passes none of the tests that were left."""
    require()
    return verdicts_of(source, task)


@functools.cache
def require() -> None:
    """Raise ConfigError where this machine gives no sandbox, or one in which something is not refused."""
    if platform.machine() != "x86_64":
        raise ConfigError(
            f"reward={UNIT_TESTS} runs programs in a sandbox that knows system calls by their numbers on x86-64, and "
            f"this is {platform.machine()}: score the samples on such a machine, `make rescore`, or by another reward"
        )
    if shutil.which("bwrap") is None:
        raise ConfigError(
            f"reward={UNIT_TESTS} runs programs in a sandbox of bubblewrap, which is not here: "
            "`apt-get install bubblewrap`, and run the same command again"
        )
    asked = [f"assert is_refused({what!r})" for what in REFUSED]
    verdicts = verdicts_of(PROBE.read_text(encoding="utf-8"), Task(asked, "", ["is_refused"]))
    if allowed := [what for what, refused in zip(REFUSED, verdicts, strict=True) if not refused]:
        raise ConfigError(
            f"reward={UNIT_TESTS}: bubblewrap starts here, but a program in it may have {', '.join(allowed)}: score on "
            "another machine, or by another reward"
        )


def verdicts_of(source: str, task: Task) -> list[bool]:
    """Return which tests a program passes, ConfigError where no sandbox starts."""
    asked = json.dumps({"program": source, **task._asdict()}).encode()
    with ExitStack() as held:
        ours, theirs = (held.enter_context(closing(end)) for end in socket.socketpair())
        job, verdicts, errors = (held.enter_context(in_memory(content)) for content in (asked, b"", b""))
        held.enter_context(started(program, theirs.fileno(), errors))
        judge = held.enter_context(started(tests, ours.fileno(), errors, job, verdicts))
        ours.close()
        theirs.close()  # now each of the two processes sees the end of the other
        with suppress(subprocess.TimeoutExpired):
            judge.wait(SECONDS)
        found, said = (os.pread(file.fileno(), 2**16, 0).decode(errors="replace") for file in (verdicts, errors))
    if not found.startswith("r"):
        why = ascii(next(iter(said.splitlines()), ""))[1:-1]
        raise ConfigError(
            f"reward={UNIT_TESTS}: no sandbox starts on this machine ({why:.300}). It needs user "
            "namespaces: kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0 or a "
            "profile for bwrap, and in a container `--security-opt seccomp=unconfined`; then run the same command again"
        )
    return [verdict == "1" for verdict in found[1:].ljust(len(task.tests), "0")]


@contextmanager
def in_memory(content: bytes) -> Iterator[IO[bytes]]:
    """Yield an open file that is nowhere on disk, at its beginning."""
    with open(os.memfd_create("stasc"), "w+b") as file:
        file.write(content)
        file.seek(0)  # which writes it out, too
        yield file


@contextmanager
def started(
    module: ModuleType, number: int, stderr: IO[bytes], stdin: Stream = DEVNULL, stdout: Stream = DEVNULL
) -> Iterator[subprocess.Popen]:
    """Yield a module of filtering.sandbox as a process in a sandbox; it is killed at the end. number: of its socket."""
    code = f"import sys; sys.path.append({str(ROOT)!r}); from {module.__name__} import main; main({number})"
    with in_memory(seccomp_filter()) as calls:
        command = [*sandbox(), "--seccomp", str(calls.fileno()), "--", os.path.realpath(sys.executable), "-sSBc", code]
        process = subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=stderr, env={"PYTHONHASHSEED": "0"},
            pass_fds=(number, calls.fileno()), start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()  # the namespace ends with its first process
        process.wait()


@functools.cache
def sandbox() -> tuple[str, ...]:
    """Return the words of a command up to what runs in the sandbox, with the system, this Python and this folder."""
    command = [str(shutil.which("bwrap")), "--unshare-user", "--unshare-all", "--uid", NOBODY, "--gid", NOBODY]
    command += ["--cap-drop", "ALL", "--new-session", "--die-with-parent", "--ro-bind", "/usr", "/usr"]
    for path in SYSTEM:
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
        else:
            command += ["--ro-bind-try", path, path]
    for folder in (os.path.realpath(sys.base_prefix), str(Path(__file__).parent)):  # uv's is a link
        if not folder.startswith("/usr/"):
            command += ["--ro-bind", folder, folder]
    return (*command, "--dev-bind", "/dev/null", "/dev/null", "--remount-ro", "/", "--chdir", "/")
