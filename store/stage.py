"""Whether a stage has work: decided by digests alone, so clocks, mtimes and copies of a run do not matter."""

import os
from itertools import count
from pathlib import Path
from typing import Any

from store.fingerprint import difference, digest, refuse_difference
from store.publish import sync_folder
from store.shards import Manifest, corrupt, read_manifest

ANOTHER_RUN = "Keep this run as it is and start another with RUN=<new name>, or go back to the old settings."


def finished(folder: Path, settings: dict[str, Any], parents: dict[str, str]) -> Manifest | None:
    """Return the manifest of a stage that is complete and current, else None.

    Other settings are refused (FingerprintMismatch, key by key). Other parents mean that what it was made from was
    rebuilt: the old folder is moved aside, unharmed, and the stage has work.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    refuse_difference(str(folder), manifest.settings, settings, ANOTHER_RUN)
    if manifest.parents != parents:
        moved = archive_superseded(folder)
        changed = ", ".join(line.partition(":")[0] for line in difference(manifest.parents, parents))
        print(f"{folder}: made from an earlier {changed}; moved to {moved.name} and rebuilt", flush=True)
        return None
    return manifest if is_whole(folder, manifest) else None


def is_whole(folder: Path, manifest: Manifest) -> bool:
    """Whether all that a manifest names is there, shards in full size: what is missing is rebuilt, what is damaged is
    refused then. CorruptArtifact for a shard that it does not name."""
    check_no_unexpected_files(folder, set(manifest.shards))
    shards = [(folder / name, shard["bytes"]) for name, shard in manifest.shards.items()]
    reports = [folder / name for name in manifest.extra.get("reports", {})]
    return all(path.is_file() and path.stat().st_size == size for path, size in shards) and all(
        path.is_file() for path in reports
    )


def archive_superseded(folder: Path) -> Path:
    """Rename a stage's folder to a hidden neighbor, out of every reader's sight."""
    numbered = (f".{folder.name}.superseded-{number:02d}" for number in count())
    target = next(path for name in numbered if not (path := folder.parent / name).exists())
    os.rename(folder, target)
    sync_folder(folder.parent)
    return target


def check_no_unexpected_files(folder: Path, planned: set[str]) -> None:
    """CorruptArtifact for a Parquet file that no plan of this stage names: readers by glob would count it."""
    for path in sorted(folder.glob("*.parquet")):
        if path.name not in planned:
            raise corrupt(path, "no plan of this stage names it")


def fingerprint(settings: dict[str, Any], parents: dict[str, str]) -> str:
    """Return the digest that every shard of a stage carries, so that a shard copied in from another run is found."""
    return digest({"settings": settings, "parents": parents})
