"""Power loss: what a file system may legally have kept at each event of a stage, and what the next run makes of it.

A name survives when its folder was fsynced after it appeared, a content when its file was. At every event two of the
legal states are tried: neither unsynced names nor unsynced contents are left; all names are, unsynced files are empty.
"""

import os
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from faults.events import Act
from faults.kills import finish
from faults.stages import Stage
from faults.tally import Tally
from store.machine import num_cores

State = dict[str, bytes | None]  # relative path -> content, None for a folder


@dataclass
class File:
    """durable: what a power loss leaves of the content."""

    durable: bytes = b""


@dataclass
class Folder:
    """Entries by name, as programs see them and as a power loss leaves them."""

    seen: dict[str, "File | Folder"] = field(default_factory=dict)
    durable: dict[str, "File | Folder"] = field(default_factory=dict)


class Disk:
    """The files under a folder; `apply` is told every event before it happens."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._top = _all_durable(root)

    def apply(self, event: str, paths: list[str]) -> None:
        names = [self._entry(path) for path in paths]
        folder, name = names[-1]
        if event == "create":
            folder.seen.setdefault(name, File())
        elif event == "os.mkdir":
            folder.seen.setdefault(name, Folder())
        elif event in ("os.remove", "os.rmdir"):
            folder.seen.pop(name, None)
        elif event == "os.link":
            folder.seen.setdefault(name, names[0][0].seen[names[0][1]])
        elif event == "os.rename":
            folder.seen[name] = names[0][0].seen.pop(names[0][1])
        elif event == "os.fsync":
            self._sync(folder.seen.setdefault(name, File()), paths[0])  # native code creates files unannounced

    def _sync(self, entry: File | Folder, path: str) -> None:
        if isinstance(entry, Folder):
            entry.durable = dict(entry.seen)
        else:
            entry.durable = (self._root / path).read_bytes()

    def _entry(self, path: str) -> tuple[Folder, str]:
        """Return the folder that holds the last name of `path`, and that name."""
        *parents, name = path.split("/")
        folder = self._top
        for parent in parents:
            folder = folder.seen[parent]
        return folder, name

    def states(self) -> Iterator[State]:
        """Yield what a power loss may leave now."""
        yield _flat(self._top, "durable")
        yield _flat(self._top, "seen")


def _all_durable(path: Path) -> File | Folder:
    if path.is_file():
        return File(path.read_bytes())
    entries = {entry.name: _all_durable(entry) for entry in path.iterdir()}
    return Folder(entries, dict(entries))


def _flat(folder: Folder, view: str, prefix: str = "") -> State:
    state: State = {}
    for name, entry in getattr(folder, view).items():
        path = f"{prefix}{name}"
        state |= {path: entry.durable} if isinstance(entry, File) else {path: None} | _flat(entry, view, f"{path}/")
    return state


def record(folder: Path, file: Path) -> Act:
    """Append every distinct state of `folder` that a power loss may leave to `file`."""
    disk, known = Disk(folder), set()
    out = open(file, "wb", buffering=0)  # noqa: SIM115 (open as long as the process)

    def act(event: str, paths: list[str]) -> None:
        for state in disk.states():
            key = frozenset(state.items())
            if key not in known:
                known.add(key)
                pickle.dump(state, out)
        disk.apply(event, paths)

    return act


def outages(stages: list[Stage], scratch: Path) -> Tally:
    """Run every stage once with its states recorded, then again from each of them."""
    tally = Tally("power loss")
    for stage in stages:
        folder, file = stage.begin(scratch / "powered"), scratch / "states"
        stage.run(folder, record(folder, file))
        with get_context("fork").Pool(num_cores()) as pool:
            for outcome, said in pool.imap_unordered(partial(_go_on, stage, scratch), _recorded(file), 4):
                tally.add(outcome, f"{stage.name}: {said}")
    return tally


def _recorded(file: Path) -> Iterator[State]:
    with open(file, "rb") as states:
        while states.peek(1):
            yield pickle.load(states)


def _go_on(stage: Stage, scratch: Path, state: State) -> tuple[str, str]:
    """Put a state on disk and run the stage on it."""
    folder = scratch / f"lane-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path, content in state.items():
        if content is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(content)
    return finish(stage, folder)
