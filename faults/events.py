"""Every I/O event of this process under a folder, one by one, before it happens.

Python announces opens, links, renames, removals, folders, listings and locks to audit hooks. Writes and fsyncs, which
it does not, are announced by wrappers; a write of the project's one writer counts twice, whole and half done.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import store.publish

Act = Callable[[str, list[str]], None]  # (event, its paths); what it raises, the event raises

AUDITED = ("open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "os.scandir",
           "os.truncate", "fcntl.flock")  # fmt: skip
NEED_SPACE = ("create", "write", "write half", "os.pwrite", "os.fsync", "os.rename", "os.link", "os.mkdir")


class Watch:
    """Calls `act` for every event under `root`, for as long as this process lives: audit hooks cannot be removed."""

    def __init__(self, root: Path, act: Act) -> None:
        self._root = str(root.resolve()) + os.sep
        self._act = act
        self._inside = False
        sys.addaudithook(self._audit)
        os.fsync = self._announced("os.fsync", os.fsync)
        os.pwrite = self._announced("os.pwrite", os.pwrite)
        store.publish.open = self.open

    def open(self, path: Path, mode: str, buffering: int) -> "WatchedFile":
        """Return the built-in `open`, with its writes announced; the project's one writer calls it."""
        return WatchedFile(open(path, mode, buffering), self._announce)

    def _audit(self, event: str, args: tuple) -> None:
        if event in AUDITED:
            created = event == "open" and args[2] & os.O_CREAT
            self._announce("create" if created else event, *args[: 2 if event in ("os.rename", "os.link") else 1])

    def _announced(self, event: str, call: Callable) -> Callable:
        def announce_and_call(descriptor: int, *args):
            self._announce(event, descriptor)
            return call(descriptor, *args)

        return announce_and_call

    def _announce(self, event: str, *places) -> None:
        if self._inside:  # what `act` does is no event
            return
        self._inside = True
        try:
            paths = [_path(place) for place in places]
            if any(path.startswith(self._root) for path in paths):
                self._act(event, [path.removeprefix(self._root) for path in paths])
        finally:
            self._inside = False


class WatchedFile:
    """A raw file whose writes are announced, before they begin and when half of the bytes are written."""

    def __init__(self, file, announce: Callable[..., None]) -> None:
        self._file, self._announce = file, announce
        self.fileno = file.fileno

    def __enter__(self) -> "WatchedFile":
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()

    def write(self, content: memoryview) -> int:
        half = len(content) // 2
        self._announce("write", self.fileno())
        written = self._file.write(content[:half])
        self._announce("write half", self.fileno())
        return written + self._file.write(content[half:])


def _path(place) -> str:
    if isinstance(place, int):
        return os.readlink(f"/proc/self/fd/{place}")
    return os.path.abspath(os.fsdecode(place))


def kill_at(number: int) -> Act:
    """SIGKILL instead of event `number`, counted from 1."""

    def act(event: str, paths: list[str]) -> None:
        nonlocal number
        number -= 1
        if number == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def fail_at(number: int, code: int) -> Act:
    """Return the error `code` instead of event `number`, counted from 1."""

    def act(event: str, paths: list[str]) -> None:
        nonlocal number
        number -= 1
        if number == 0:
            raise OSError(code, os.strerror(code), paths[-1])

    return act


def log_to(path: Path) -> Act:
    """Return a line for every event in the file `path`."""
    file = open(path, "w", buffering=1)  # noqa: SIM115 (it stays open with the process)
    return lambda event, paths: print(event, *paths, file=file)
