"""What a run's file system has to give, tried out whenever a stage takes the run: under a millisecond on a local disk.

Results appear by a rename or a hard link and are found by listing their folder, so all three must work. Without hard
links a rename serves one worker; of two that publish the same shard, both would win.
"""

import errno
import os
import shutil
import uuid
from pathlib import Path

from store.errors import ConfigError
from store.publish import NO_LINKS

NOT_SUPPORTED = (*NO_LINKS, errno.EXDEV, errno.EINVAL)


def require_storage(folder: Path, several_writers: bool = False) -> None:
    """ConfigError that names what the file system of `folder` lacks: a folder that is renamed must appear whole and
    under its new name alone; for several writers, exactly one hard link to a name must succeed."""
    for left in folder.glob(".storage-*.tmp"):  # by a killed stage
        shutil.rmtree(left, ignore_errors=True)
    name = uuid.uuid4().hex
    old, new = folder / f".storage-{name}.tmp", folder / f".storage-{name}-renamed.tmp"
    trial = "a folder cannot be renamed"
    try:
        old.mkdir()
        (old / "file.tmp").touch()
        os.rename(old, new)
        listed = os.listdir(folder)
        if old.name in listed or new.name not in listed or os.listdir(new) != ["file.tmp"]:
            raise lacking(folder, "its listings do not show what was renamed")
        if several_writers:
            trial = "it has no hard links, so of two workers on a shard both could publish it (launcher.workers=1 does)"
            os.link(new / "file.tmp", new / "link.tmp")
            if links_replace(new / "file.tmp", new / "link.tmp"):
                raise lacking(folder, "a hard link replaces what has its name (launcher.workers=1 does)")
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise
        raise lacking(folder, f"{trial}: {error.strerror}") from None
    finally:
        shutil.rmtree(old, ignore_errors=True)
        shutil.rmtree(new, ignore_errors=True)


def links_replace(source: Path, target: Path) -> bool:
    """Whether a link to a name that is taken succeeds."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    return True


def lacking(folder: Path, what: str) -> ConfigError:
    return ConfigError(f"{folder} lies on a file system that does not do for a run: {what}. Put runs/ on another one")
