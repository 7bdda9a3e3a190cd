import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from store.errors import CorruptArtifact, FingerprintMismatch
from store.schemas import QUESTIONS
from store.shards import (
    Manifest,
    decode_shard,
    describe_shard,
    encode_shard,
    iter_shards,
    read_manifest,
    read_shard,
    write_shard,
)

ROWS = {
    "question_id": ["a", "b"],
    "question": ["who?", '"sha256":"' + "0" * 64],
    "answers": [["x"], ["y", "é"]],
    "split": ["train"] * 2,
    "source": ["test"] * 2,
}


@pytest.fixture
def table():
    return pa.table(ROWS, schema=QUESTIONS)


def manifest_of(folder, *names):
    shards = {}
    for name in names:
        content = (folder / name).read_bytes()
        shards[name] = describe_shard(content, decode_shard(content, folder / name, QUESTIONS)[1])
    rows = sum(shard["rows"] for shard in shards.values())
    return Manifest("questions", 0, {"seed": 1}, {}, rows, rows, 0, shards)


def test_a_shard_comes_back_as_it_was_written(table, tmp_path):
    path = tmp_path / "train-00000-of-00001.parquet"
    assert write_shard(path, table, QUESTIONS, {"stage": "questions"})
    back, header = read_shard(path, QUESTIONS)
    assert back.equals(table)
    assert (header["stage"], header["rows"]) == ("questions", 2)
    assert pq.read_table(tmp_path).equals(table)  # any reader sees the same


def test_reading_starts_no_thread_that_could_outlive_the_interpreter(table, tmp_path):
    path = tmp_path / "train-00000-of-00001.parquet"
    write_shard(path, table, QUESTIONS, {"stage": "questions"})
    code = """
import os, sys
from pathlib import Path
from store.shards import read_shard
before = len(os.listdir("/proc/self/task"))
read_shard(Path(sys.argv[1]))
sys.exit(len(os.listdir("/proc/self/task")) - before)
"""
    subprocess.run([sys.executable, "-c", code, path], check=True, env=os.environ | {"PYTHONPATH": os.curdir})


def test_equal_rows_give_equal_bytes(table):
    assert encode_shard(table, QUESTIONS, {"stage": "q"}) == encode_shard(table.slice(0), QUESTIONS, {"stage": "q"})


def test_every_flipped_bit_and_every_truncation_is_found(table, tmp_path):
    content = encode_shard(table, QUESTIONS, {"stage": "questions", "quarantined": ['"sha256":"' + "0" * 64]})
    damaged = [
        bytes([*content[:i], content[i] ^ (1 << bit), *content[i + 1 :]]) for i in range(len(content)) for bit in (0, 5)
    ]
    damaged += [content[:length] for length in range(len(content))]
    accepted = 0
    for candidate in damaged:
        try:
            decode_shard(candidate, tmp_path / "x", QUESTIONS)
            accepted += 1
        except CorruptArtifact:
            pass
    assert len(damaged) > 3000
    assert accepted == 0


def test_a_shard_with_other_columns_is_refused(table, tmp_path):
    other = table.drop_columns(["source"])
    write_shard(tmp_path / "x.parquet", other, other.schema, {"stage": "questions"})
    with pytest.raises(CorruptArtifact, match="columns"):
        read_shard(tmp_path / "x.parquet", QUESTIONS)


def test_a_manifest_survives_and_an_edited_one_is_refused(table, tmp_path):
    write_shard(tmp_path / "train-0.parquet", table, QUESTIONS, {"stage": "questions"})
    manifest = manifest_of(tmp_path, "train-0.parquet")
    manifest.write(tmp_path)
    assert read_manifest(tmp_path) == manifest
    path = tmp_path / "_MANIFEST.json"
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 2'))
    with pytest.raises(CorruptArtifact, match="edited"):
        read_manifest(tmp_path)


def test_a_manifest_of_a_newer_schema_is_refused_as_such(table, tmp_path):
    write_shard(tmp_path / "train-0.parquet", table, QUESTIONS, {"stage": "questions"})
    manifest_of(tmp_path, "train-0.parquet").write(tmp_path)
    path = tmp_path / "_MANIFEST.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 99'))
    with pytest.raises(FingerprintMismatch, match="99"):
        read_manifest(tmp_path)


def test_a_shard_put_in_another_ones_place_is_refused(table, tmp_path):
    for name, rows in (("train-0.parquet", table), ("train-1.parquet", table.slice(1))):
        write_shard(tmp_path / name, rows, QUESTIONS, {"stage": "questions"})
    manifest = manifest_of(tmp_path, "train-0.parquet", "train-1.parquet")
    (tmp_path / "train-0.parquet").write_bytes((tmp_path / "train-1.parquet").read_bytes())
    with pytest.raises(CorruptArtifact, match="train-0"):
        list(iter_shards(tmp_path, manifest, "train", QUESTIONS))


def test_a_manifest_whose_rows_do_not_add_up_cannot_be_written(tmp_path):
    with pytest.raises(AssertionError):
        Manifest("questions", 0, {}, {}, planned=3, written=1, quarantined=1, shards={}).write(tmp_path)
