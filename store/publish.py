"""The one way this project writes a result: a whole file appears at once, or not at all.

A temporary dot-file beside the target is written, fsynced and linked to its name; the first writer wins, so workers
that were given the same shard twice still leave one copy of it. Names that start with `.` or `_` are not data:
`pyarrow`, DuckDB globs and `load_dataset` only ever see whole shards.
"""

import contextlib
import errno
import os
import uuid
from pathlib import Path

# Errors by which file systems without hard links (FAT, some FUSE and object-store mounts) say so.
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def write_atomic(path: Path, content: bytes, replace: bool = False) -> bool:
    """Write `content` at `path`, durably and atomically; parent folders are made.

    Returns True when this call's bytes are the file's, False when another writer was first (its file stays).
    `replace=True` is for summaries that are rebuilt (manifests, reports), never for data.
    """
    make_folder(path.parent)
    temporary = path.parent / f".{path.name[:180]}.{uuid.uuid4().hex}.tmp"
    try:
        _write_durably(temporary, content)
        won = _replace(temporary, path) if replace else _link(temporary, path)
        sync_folder(path.parent)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    return won


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents, each entry on disk before it is used."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder)
        sync_folder(folder.parent)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is in the way of a folder of the run", str(folder))


def sync_folder(folder: Path) -> None:
    """fsync a folder, so that the names in it survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_temporaries(folder: Path) -> int:
    """Remove what killed writers left in `folder`; call it only while holding the run's lock."""
    leftovers = [entry for entry in folder.glob(".*.tmp") if entry.is_file()]
    for entry in leftovers:
        entry.unlink(missing_ok=True)
    return len(leftovers)


def _write_durably(path: Path, content: bytes) -> None:
    try:
        with open(path, "xb", buffering=0) as file:
            view = memoryview(content)
            while view:  # a raw write may be short
                view = view[file.write(view) :]
            os.fsync(file.fileno())
    except OSError as error:  # a failed write names no file by itself
        error.filename = error.filename or str(path)
        raise


def _link(temporary: Path, path: Path) -> bool:
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if path.exists():
            return False
        os.rename(temporary, path)
    return True


def _replace(temporary: Path, path: Path) -> bool:
    os.replace(temporary, path)
    return True
