"""The stage on what it, or another, left: no work, the same bytes again, or a refusal."""

from dataclasses import replace

import pytest

from filtering.__main__ import filter_iteration
from filtering.filters import Options
from filtering.stage import is_complete
from store.errors import CorruptArtifact, FingerprintMismatch
from store.shards import read_manifest
from tests.filtering.hand_made import HELD_OUT, SETTINGS, TRAIN, files, rows, source


@pytest.fixture
def run(make_run):
    return make_run({"train": TRAIN, "test": HELD_OUT})


def test_a_finished_stage_has_no_work_and_another_setting_is_refused(run):
    assert not is_complete(source(run), SETTINGS)
    filter_iteration(source(run), SETTINGS, 0)
    assert is_complete(source(run), SETTINGS)
    with pytest.raises(FingerprintMismatch, match=r"options\.margin: 0\.0 -> 0\.5"):
        is_complete(source(run), replace(SETTINGS, options=Options(margin=0.5)))


def test_what_is_missing_or_edited_is_rebuilt_bit_for_bit(run):
    filter_iteration(source(run), SETTINGS, 0)
    before = files(run)
    folder = run.iteration(0)
    for path in (folder.metrics, folder.trajectories / "_MANIFEST.json", *folder.sft.iterdir()):
        path.unlink()
        assert not is_complete(source(run), SETTINGS)
        filter_iteration(source(run), SETTINGS, 0)
        assert files(run) == before
    folder.metrics.write_bytes(b"{}")
    assert not is_complete(source(run), SETTINGS)
    filter_iteration(source(run), SETTINGS, 0)
    assert files(run) == before


def test_leftovers_of_other_samples_are_moved_aside(run):
    filter_iteration(source(run), SETTINGS, 0)
    folder = run.iteration(0)
    for part in (folder.trajectories, folder.sft):
        (part / "_MANIFEST.json").unlink()
    filter_iteration(source(run), replace(SETTINGS, filter="improving"), 0)
    assert {row["reason"] for row in rows(run)} >= {"improving", "not_improving"}
    assert [path.name for path in folder.dir.glob(".*")] == [".trajectories.superseded-00", ".sft.superseded-00"]


def test_a_flipped_bit_in_a_leftover_is_refused(run):
    filter_iteration(source(run), SETTINGS, 0)
    folder = run.iteration(0).trajectories
    (folder / "_MANIFEST.json").unlink()
    path = next(folder.glob("*.parquet"))
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptArtifact, match=path.name):
        filter_iteration(source(run), SETTINGS, 0)


def test_corrections_of_other_initial_answers_are_refused_with_both_digests(run):
    folder = run.iteration(0)
    manifest = read_manifest(folder.initial_answers)
    replace(manifest, settings={"seed": 1}).write(folder.initial_answers)
    with pytest.raises(CorruptArtifact, match=manifest.digest):
        source(run)
