"""Trainer checkpoints that training can go on from after it was killed.

The trainer writes `checkpoint-<step>/` file by file. It counts once `_complete.json` lies in it, which names every
file with its size and is published after all of them are on disk; neither times nor the highest number decide.
"""

import json
import os
import re
import shutil
from pathlib import Path

from store.publish import write_atomic

MARK = "_complete.json"


def mark_complete(folder: Path) -> None:
    """Make `checkpoint-<step>` durable, mark it, and drop its neighbors: it replaces them all."""
    sizes = {}
    for entry in sorted(folder.iterdir()):
        with open(entry, "rb") as file:
            os.fsync(file.fileno())
        sizes[entry.name] = entry.stat().st_size
    write_atomic(folder / MARK, json.dumps(sizes).encode())
    for other in _numbered(folder.parent):
        if other != folder:
            shutil.rmtree(other)


def last_complete(work: Path) -> Path | None:
    """Return the complete checkpoint with the most steps in `work`, None where there is none."""
    return next((folder for folder in _numbered(work) if is_complete(folder)), None)


def is_complete(folder: Path) -> bool:
    """Whether every file that the mark names is there in full size."""
    try:
        sizes = json.loads((folder / MARK).read_bytes())
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except FileNotFoundError:
        return False


def _numbered(work: Path) -> list[Path]:
    """Return the `checkpoint-<step>` folders, most steps first."""
    found = [entry for entry in work.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", entry.name)]
    return sorted(found, key=lambda folder: int(folder.name.removeprefix("checkpoint-")), reverse=True)
