"""Reading an iteration: reused initial answers, samples that generation quarantined, and tables that disagree."""

import json
import os
import shutil
from dataclasses import replace

import pytest

from filtering.pairs import PAIR, read_samples
from filtering.source import Source
from store.errors import CorruptArtifact
from store.fingerprint import digest_bytes
from store.shards import read_manifest

QUESTIONS = [
    ("q0", "who", ["Ann"], [("Bob", ["Ann", "Bob"])]),
    ("q1", "who", ["Eve"], [("Eve", [])]),
]
NUM = {"train": 2}


def read(run, iteration: int = 0) -> list[tuple[str, int, int]]:
    source = Source(run, iteration, NUM)
    shards = [read_samples(source, [], "train", file, "initial_answer") for file in source.files("train")]
    keys = (
        (shard.questions["question_id"].to_pylist(), *key)
        for shard in shards
        for key in shard.pairs.select(PAIR).rows()
    )
    return [(ids[row], j, k) for ids, row, j, k in keys]


def quarantine(run, rows: int) -> None:
    """What generation leaves when it could not sample q1's corrections."""
    folder = run.iteration(0).corrections
    entry = {"question_id": "q1", "init_index": 0, "code": "PROMPT_TOO_LONG", "rows": rows}
    content = json.dumps(entry).encode() + b"\n"
    (folder / "_quarantined.jsonl").write_bytes(content)
    manifest = read_manifest(folder)
    extra = manifest.extra | {"reports": {"_quarantined.jsonl": digest_bytes(content)}}
    replace(manifest, planned=manifest.written + 2, quarantined=2, extra=extra).write(folder)


def test_quarantined_corrections_are_accounted_for(make_run):
    run = make_run({"train": QUESTIONS}, shard_size=1)
    with pytest.raises(CorruptArtifact, match=r"train-00001-of-00002.parquet .*\('q1', 0\)"):
        read(run)
    quarantine(run, 2)
    assert read(run) == [("q0", 0, 0), ("q0", 0, 1)]
    quarantine(run, 1)
    with pytest.raises(CorruptArtifact, match="lists 1 rows, the manifest 2"):
        read(run)


def test_fixed_initial_answers_are_read_where_they_lie(make_run):
    run = make_run({"train": QUESTIONS[:1]})
    first, second = run.iteration(0), run.iteration(1)
    manifest = read_manifest(first.initial_answers)
    reference = {"folder": os.path.relpath(first.initial_answers, second.initial_answers), "digest": manifest.digest}
    reusing = replace(manifest, planned=0, written=0, shards={}, reused={"train": reference})
    reusing.write(second.initial_answers)
    corrections = replace(read_manifest(first.corrections), extra={"initial_answers": reusing.digest})
    corrections.write(second.corrections)
    for path in first.corrections.glob("*.parquet"):
        os.link(path, second.corrections / path.name)
    assert read(run, 1) == read(run, 0)


def test_a_question_that_the_run_does_not_have_is_refused(make_run):
    run, other = make_run({"train": QUESTIONS[:1]}), make_run({"train": QUESTIONS[1:]}, name="other")
    shutil.rmtree(run.questions)
    shutil.copytree(other.questions, run.questions)
    with pytest.raises(CorruptArtifact, match=r"1 questions of it are not in the run's, e.g. \['q0'\]"):
        read(run)


def test_other_shards_than_those_of_the_initial_answers_are_refused(make_run):
    run = make_run({"train": QUESTIONS[:1]})
    manifest = read_manifest(run.iteration(0).corrections)
    replace(manifest, planned=0, written=0, shards={}).write(run.iteration(0).corrections)
    with pytest.raises(CorruptArtifact, match="None stands beside shard train-00000"):
        read(run)


def test_a_stage_that_has_not_run_is_named_with_its_command(make_run):
    run = make_run({"train": QUESTIONS[:1]})
    with pytest.raises(CorruptArtifact, match="python -m generation run=demo iteration=3"):
        Source(run, 3, NUM)
