"""Model folders: what may be in one, its list of sha256, and which folder M_n is.

A checkpoint appears by one rename of a complete folder, with `_checkpoint.json` naming every file. Only data is
allowed in: safetensors, JSON, tokenizer and template files; never a pickle, never code.
"""

import errno
import fnmatch
import json
import os
import stat
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from store.errors import CorruptArtifact
from store.fingerprint import digest, digest_file
from store.publish import make_folder, sync_folder, write_atomic
from store.run import Run
from store.schemas import VERSION
from store.shards import corrupt, read_manifest, read_object
from store.tensors import weight_files

RECORD = "_checkpoint.json"
CARD = "README.md"  # says what the model is and may be rewritten at any time: no part of the model
ALLOWED = (
    "*.safetensors",
    "*.json",
    "*.jinja",
    "*.model",
    "merges.txt",
    "vocab.txt",
    CARD,
    "LICENSE*",
    "NOTICE*",
)
LOADABLE_CODE = ("*.py", "*.pt", "*.pth", "*.bin", "*.pkl", "*.pickle", "*.ckpt", "*.msgpack", "*.h5", "*.so")


@dataclass(frozen=True)
class Checkpoint:
    """A model folder's record. files: {name: {bytes, sha256}}; digest identifies the model, the path does not.

    settings, parents: what it was trained with and from. alias_of: the folder that holds the weights where a
    checkpoint is another one by reference (nothing was kept to train on and `on_empty` is keep_model).
    """

    files: dict[str, dict[str, Any]]
    digest: str
    settings: dict[str, Any] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    alias_of: str | None = None
    source: dict[str, Any] = field(default_factory=dict)
    schema_version: int = VERSION

    def weights(self, folder: Path) -> Path:
        """Return the folder with the weights of the model whose record is in `folder`: it, or the one it names."""
        return folder / self.alias_of if self.alias_of else folder

    def to_json(self) -> bytes:
        """Return the record's file: every bit of it counts, so it carries the digest of its own content too."""
        values = asdict(self)
        return json.dumps(values | {"record_digest": digest(values)}, indent=1, sort_keys=True).encode() + b"\n"


def describe_folder(folder: Path) -> dict[str, dict[str, Any]]:
    """Return {name: {bytes, sha256}} of a model folder's files.

    What no loader reads (folders, pictures, other texts, weights that the index does not name) is left out.
    CorruptArtifact names every file that may not be there.
    """
    weights = {path.name for path in weight_files(folder)}
    files, refused = {}, []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(("_", ".")) or entry.name == CARD or entry.is_dir():
            continue
        if any(fnmatch.fnmatch(entry.name, pattern) for pattern in LOADABLE_CODE):
            refused.append(f"{entry.name} can hold code")
        elif any(fnmatch.fnmatch(entry.name, pattern) for pattern in ALLOWED):
            if entry.suffix == ".safetensors" and entry.name not in weights:
                continue
            if entry.is_symlink() and not stays_inside(entry):
                refused.append(f"{entry.name} links to {entry.resolve()}, outside its folder")
                continue
            if not entry.is_file():
                refused.append(f"{entry.name} is a {'link to nothing' if entry.is_symlink() else 'pipe or a device'}")
                continue
            files[entry.name] = entry
    if refused:
        raise CorruptArtifact(
            f"{folder}: {'; '.join(refused)}. A checkpoint holds only {', '.join(ALLOWED)}: move the others out of the "
            "folder, convert weights among them to safetensors, and copy linked files in"
        )
    return {name: {"bytes": path.stat().st_size, "sha256": digest_file(path)} for name, path in files.items()}


def stays_inside(link: Path) -> bool:
    """Whether a link leads to a file of its folder, or to a blob of the hub's cache, of which its folder is a
    snapshot (models--owner--name/snapshots/revision)."""
    folder = link.parent.resolve()
    blobs = [folder.parent.parent / "blobs"] if folder.parent.name == "snapshots" else []
    return any(link.resolve().is_relative_to(home) for home in [folder, *blobs])


def folder_digest(files: dict[str, dict[str, Any]]) -> str:
    """Return the identity of a model: its files' names and contents."""
    return digest({name: entry["sha256"] for name, entry in files.items()})


def publish_folder(work: Path, target: Path, settings: dict[str, Any], parents: dict[str, str]) -> Checkpoint:
    """Give the complete folder `work` its record, make it durable, and rename it to `target` (same file system)."""
    files = describe_folder(work)
    record = Checkpoint(files, folder_digest(files), settings, parents)
    mode = file_mode(work)
    for name in files:
        os.chmod(work / name, mode)  # safetensors writes files that their owner alone can read
        with open(work / name, "rb") as file:
            os.fsync(file.fileno())
    write_atomic(work / RECORD, record.to_json(), replace=True)
    make_folder(target.parent)
    try:
        os.rename(work, target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise corrupt(target, "a folder without a valid record is in the way") from error
        raise
    sync_folder(target.parent)
    return record


def file_mode(folder: Path) -> int:
    """Return the permissions that this process gives a new file in `folder`: those of the umask."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as name:
        probe = Path(name) / "probe"
        probe.touch()
        return stat.S_IMODE(probe.stat().st_mode)


def publish_reference(target: Path, base: "Checkpoint", base_folder: Path, settings: dict, parents: dict) -> Checkpoint:
    """M_n = its base, by reference: a record without files that names the folder it stands for."""
    folder = os.path.relpath(base_folder, target)
    record = Checkpoint(base.files, base.digest, settings, parents, alias_of=folder)
    write_atomic(target / RECORD, record.to_json())
    return record


def read_record(path: Path) -> Checkpoint | None:
    """Return the record at `path` (`_checkpoint.json` or `base_model.json`), None where there is none."""
    if not path.exists():
        return None
    values = read_object(path)
    try:
        if values.pop("record_digest") != digest(values):
            raise ValueError("it was edited: its content does not match its digest")
        if "stands_for" in values:  # its name in format 1: models in the cache outlive the runs they were fetched for
            values["alias_of"] = values.pop("stands_for")
        return Checkpoint(**values)
    except (ValueError, KeyError, TypeError) as error:
        raise corrupt(path, f"it is not a checkpoint record ({error})") from error


def verify_folder(folder: Path, record: Checkpoint) -> None:
    """CorruptArtifact unless `folder` holds exactly the recorded files, bit for bit (about 1 GB/s)."""
    if not folder.is_dir():
        raise corrupt(folder, "the folder is missing")
    found = describe_folder(folder)
    for name in sorted(found.keys() | record.files.keys()):
        if name not in found:
            raise corrupt(folder / name, "it is in the checkpoint's record but not in the folder")
        if name not in record.files:
            raise corrupt(folder / name, "it is in the folder but not in the checkpoint's record")
        if found[name] != record.files[name]:
            raise corrupt(folder / name, "its content does not match the sha256 in the checkpoint's record")


def locate(run: Run, iteration: int) -> tuple[Path, Checkpoint]:
    """Return the folder with M_n's weights and its record; the files are not yet verified. M_0 is what base_model.json
    names, a later M_n must have been trained on the rows that are there now; another run's (models_of) was on none of
    these."""
    if iteration == 0:
        record = read_record(run.base_model)
        if record is None or record.alias_of is None:
            next_command = f"python -m training.base_model run={run.name}"
            raise CorruptArtifact(f"{run.base_model} is missing: run `{next_command}` first")
        return record.weights(run.base_model.parent), record
    target = run.iteration(iteration).checkpoint
    record = read_record(target / RECORD)
    if record is None:
        raise CorruptArtifact(
            f"{target / RECORD} is missing: run `python -m training run={run.name} iteration={iteration}` first"
        )
    rows = read_manifest(run.iteration(iteration - 1).sft)
    if rows is not None and record.parents.get("sft", rows.digest) != rows.digest:
        raise corrupt(target / RECORD, f"it was trained on other rows than those of iter_{iteration - 1:02d}/sft")
    return record.weights(target), record
