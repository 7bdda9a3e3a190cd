"""Parquet shards that verify themselves, and the manifest that sums a stage up.

A shard's footer holds a JSON header: what it is, which rows it covers, what it was made from, and the sha256 of the
whole file taken with that field zeroed. So every bit of the file is covered, before any manifest exists.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from store.errors import CorruptArtifact, FingerprintMismatch
from store.fingerprint import canonical_json, digest, digest_bytes
from store.publish import publish
from store.schemas import VERSION

HEADER = b"stasc"
UNSET = "0" * 64
MANIFEST = "_MANIFEST.json"
QUARANTINED = "_quarantined.jsonl"
WAY_OUT = (
    "Move it away (keep it if you want to know why) and run the same command again: what is missing is rebuilt, and "
    "everything that was made from it"
)


def shard_name(split: str, index: int, count: int) -> str:
    """train-00003-of-00008.parquet"""
    return f"{split}-{index:05d}-of-{count:05d}.parquet"


def encode_shard(table: pa.Table, schema: pa.Schema, header: dict[str, Any]) -> bytes:
    """Return the bytes of a shard: zstd, page checksums, explicit schema, and `header` with rows and sha256 added."""
    header = header | {"schema_version": VERSION, "rows": table.num_rows, "sha256": UNSET}
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, compression="zstd", write_page_checksum=True) as writer:
        writer.write_table(table.cast(schema))
        writer.add_key_value_metadata({HEADER: canonical_json(header)})
    content = sink.getvalue().to_pybytes()
    start, end = _slot(content)
    assert content[start:end].decode() == UNSET, f"a header must not hold another sha256 field: {header}"
    return content[:start] + digest_bytes(content).encode() + content[end:]


def write_shard(path: Path, table: pa.Table, schema: pa.Schema, header: dict[str, Any]) -> bool:
    """Publish a shard; False when another writer was first: read_shard(path) then gives the one that counts."""
    return publish(path, encode_shard(table, schema, header))


def read_shard(
    path: Path, schema: pa.Schema | None = None, columns: Sequence[str] | None = None
) -> tuple[pa.Table, dict[str, Any]]:
    """Return a shard's table, or these columns of it, and its header. CorruptArtifact unless every bit is as written
    and the schema is `schema`."""
    return decode_shard(read_bytes(path), path, schema, columns)


def decode_shard(
    content: bytes, path: Path, schema: pa.Schema | None, columns: Sequence[str] | None = None
) -> tuple[pa.Table, dict[str, Any]]:
    """Return the table and header in a shard's bytes, after the checks of read_shard; `path` is for messages."""
    _verify_hash(content, path)
    # not pq.read_table, and no threads: Arrow's outlive it and can abort the interpreter's exit (docs/decisions.md)
    with pq.ParquetFile(pa.BufferReader(content)) as file:
        header = _header(file.metadata, path)
        if schema is not None and not file.schema_arrow.equals(schema):
            raise corrupt(path, f"its columns are {file.schema_arrow.names}, expected {schema.names}")
        return file.read(columns, use_threads=False).replace_schema_metadata(None), header


def verify_shard(content: bytes, path: Path) -> dict[str, Any]:
    """Return the header of a shard, after every bit of it was found to be as written; nothing is decoded but the
    footer."""
    _verify_hash(content, path)
    return _header(pq.read_metadata(pa.BufferReader(content)), path)


def read_bytes(path: Path) -> bytes:
    """Return a file of the run; CorruptArtifact when it is not there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise corrupt(path, "it is missing") from None


def read_object(path: Path) -> dict[str, Any]:
    """Return a JSON object of the run; CorruptArtifact for anything else, FingerprintMismatch for one of a later
    version."""
    try:
        value = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise corrupt(path, f"it is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise corrupt(path, f"it holds a {type(value).__name__}, an object was expected")
    version = value.get("schema_version", VERSION)
    if isinstance(version, int) and version > VERSION:
        raise newer(path, version)
    return value


def corrupt(path: Path, why: str) -> CorruptArtifact:
    """Return the error for a file that cannot be trusted, with the way out of it."""
    return CorruptArtifact(f"{path} cannot be used: {why}. {WAY_OUT}")


def newer(path: Path, version: int) -> FingerprintMismatch:
    """Return the error for a file that a later version of this code wrote."""
    return FingerprintMismatch(f"{path} has schema version {version}, this code reads up to {VERSION}: update the code")


def _verify_hash(content: bytes, path: Path) -> None:
    start, end = _slot(content)
    if digest_bytes(content[:start] + UNSET.encode() + content[end:]).encode() != content[start:end]:
        raise corrupt(path, "its bytes do not match the sha256 in its footer")


def _header(footer: pq.FileMetaData, path: Path) -> dict[str, Any]:
    header = json.loads(footer.metadata[HEADER])
    if header["schema_version"] > VERSION:
        raise newer(path, header["schema_version"])
    return header


def _slot(content: bytes) -> tuple[int, int]:
    """Where the hash of a shard stands: last in the file, since the footer's key-value metadata is."""
    start = content.rfind(b'"sha256":"') + len('"sha256":"')
    return start, start + 64


@dataclass(frozen=True)
class Manifest:
    """A stage's summary, written last. planned = written + quarantined, always.

    settings, parents: see data.fingerprint. shards: {file: {rows, bytes, sha256}}. reused: {split: {folder, digest}},
    splits whose shards are those of another stage folder (fixed initialization), by reference. extra: what a stage
    adds, "reports": {file: sha256} among it.
    """

    stage: str
    iteration: int
    settings: dict[str, Any]
    parents: dict[str, str]
    planned: int
    written: int
    quarantined: int
    shards: dict[str, dict[str, Any]]
    reused: dict[str, dict[str, str]] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    schema_version: int = VERSION

    @property
    def digest(self) -> str:
        """What a child names as its parent."""
        return digest(asdict(self))

    def write(self, folder: Path) -> None:
        assert self.planned == self.written + self.quarantined, f"{folder}: rows do not add up: {self}"
        content = json.dumps(asdict(self) | {"digest": self.digest}, indent=1, sort_keys=True, ensure_ascii=False)
        publish(folder / MANIFEST, content.encode() + b"\n", replace=True)


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a stage folder, None where the stage has not finished. A damaged or edited one is
    refused."""
    path = folder / MANIFEST
    if not path.exists():
        return None
    values = read_object(path)
    try:
        stated = values.pop("digest")
        manifest = Manifest(**values)
        if manifest.digest != stated:
            raise ValueError("it was edited: its content does not match its digest")
    except (ValueError, KeyError, TypeError) as error:
        raise corrupt(path, f"it is not a manifest ({error})") from error
    return manifest


def required_manifest(folder: Path, made_by: str) -> Manifest:
    """Return the manifest of a stage that must have finished; `made_by` is the command that makes it."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise CorruptArtifact(f"{folder / MANIFEST} is missing: run `{made_by}` first")
    return manifest


def describe_shard(content: bytes, header: dict[str, Any]) -> dict[str, Any]:
    """Return what a manifest says of a shard; its sha256 is the one in its footer (the file's, with that field
    zeroed)."""
    return {"rows": header["rows"], "bytes": len(content), "sha256": header["sha256"]}


def describe_encoded(content: bytes, table: pa.Table) -> dict[str, Any]:
    """Return what a manifest says of a shard that `encode_shard` has just made of the table, unhashed."""
    start, end = _slot(content)
    return describe_shard(content, {"rows": table.num_rows, "sha256": content[start:end].decode()})


def iter_shards(
    folder: Path, manifest: Manifest, split: str, schema: pa.Schema, columns: Sequence[str] | None = None
) -> Iterator[tuple[str, pa.Table]]:
    """(file name, table) of every shard of a split, in order, each verified against the manifest; `columns` as in
    read_shard.

    One shard is in memory at a time; splits that are reused are read where they lie.
    """
    folder, shards = split_shards(folder, manifest, split)
    for name, entry in shards.items():
        yield name, read_listed(folder / name, entry, schema, columns)


def split_shards(folder: Path, manifest: Manifest, split: str) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Return the folder in which a split's shards lie, another one where they are reused, and what the manifest there
    says of each, in order of their names."""
    if split in manifest.reused:
        reference = manifest.reused[split]
        folder = (folder / reference["folder"]).resolve()
        manifest = required_manifest(folder, "make iterate")
        if manifest.digest != reference["digest"]:
            raise corrupt(folder / MANIFEST, "it is not the one whose answers this iteration reuses")
    return folder, {name: manifest.shards[name] for name in sorted(manifest.shards) if name.startswith(f"{split}-")}


def read_listed(path: Path, entry: dict[str, Any], schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the table of a shard that a manifest says `entry` of; `columns` as in read_shard."""
    table, header = read_shard(path, schema, columns)
    if header["sha256"] != entry["sha256"]:
        raise corrupt(path, "it is not the file that the manifest names")
    return table
