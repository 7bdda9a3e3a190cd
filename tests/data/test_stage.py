import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from conf.question_files import check_origins, check_splits
from data.__main__ import already_made, make_questions
from data.overlap import read_overlap
from data.reports import summary
from store.errors import BadInput, ConfigError, CorruptArtifact, FingerprintMismatch
from store.schemas import QUESTIONS, SPLITS
from store.shards import Manifest, iter_shards

ROOT = Path(__file__).parents[2]
PRESETS = sorted((ROOT / "conf" / "data").glob("*.yaml"))


def write_rows(path: Path, count: int = 200, extra: tuple[str, ...] = ()) -> Path:
    rows = [json.dumps({"question": f"Who won cup number {i}?", "answers": [f"team {i}"]}) for i in range(count)]
    path.write_text("\n".join([*rows, *extra]) + "\n")
    return path


def settings_for(path: Path, **changed: object) -> dict:
    config = yaml.safe_load((ROOT / "conf" / "data" / "local.yaml").read_text())
    config["files"]["questions"]["path"] = str(path)
    return config | {"pass_rate": None} | changed


def tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def file(tmp_path) -> Path:
    return write_rows(tmp_path / "questions.jsonl")


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "runs" / "demo" / "questions"


def questions(folder: Path, manifest: Manifest, split: str) -> list[dict]:
    return [row for _, table in iter_shards(folder, manifest, split, QUESTIONS) for row in table.to_pylist()]


def test_every_preset_has_the_same_keys_and_parts_that_make_sense():
    nq = yaml.safe_load((ROOT / "conf" / "data" / "nq.yaml").read_text())
    assert {path.stem for path in PRESETS} >= {"nq", "nq_paper", "trivia_qa", "web_questions", "hotpot_qa", "gsm8k"}
    for path in PRESETS:
        preset = yaml.safe_load(path.read_text())
        assert preset.keys() - {"hub", "skills", "defaults"} == nq.keys(), path
        check_splits(preset["splits"], preset["files"])
        assert set(preset["splits"]) == set(SPLITS), path
        for name, origins in preset["files"].items():
            assert origins.keys() - {"generator"} == {"path", "hub", "wheel"}, path
            check_origins(name, origins, allow_unpinned=path.stem in ("nq_paper", "hub"))


def test_the_published_questions_add_up(folder, file):
    manifest = make_questions(folder, settings_for(file, train=50))
    rows = {split: questions(folder, manifest, split) for split in SPLITS}
    assert len(rows["train"]) == 50 and {row["split"] for row in rows["train"]} == {"train"}
    assert {row["source"] for split in SPLITS for row in rows[split]} == {"local"}
    ids = [row["question_id"] for split in SPLITS for row in rows[split]]
    assert len(set(ids)) == len(ids) == manifest.written == manifest.planned - manifest.quarantined
    available = manifest.extra["available"]
    assert sum(available.values()) == 200 and available["train"] > 50 and len(rows["test"]) == available["test"]
    assert manifest.extra["sources"]["questions"]["sha256"] == manifest.parents["questions"]
    assert set(read_overlap(folder, manifest)["counts"]) == {"train/validation", "train/test", "validation/test"}


def test_the_summary_names_source_splits_and_rows_quarantined(folder, file):
    write_rows(file, extra=('{"question": "grade?", "answers": ["A+"]}',))
    lines = summary(make_questions(folder, settings_for(file, train=50)), folder).splitlines()
    assert len(lines) == 3
    assert str(file) in lines[0] and "train 50 of" in lines[1] and "(500 asked)" in lines[1]
    assert "1 DEGENERATE_GOLD" in lines[2]


def test_a_second_run_changes_nothing_and_has_no_work(folder, file):
    config = settings_for(file)
    assert already_made(folder, config) is None
    manifest = make_questions(folder, config)
    before = tree(folder)
    assert already_made(folder, config) == manifest and tree(folder) == before


@pytest.mark.parametrize(
    "name", ["train-00000-of-00001.parquet", "_overlap.json", "_quarantined.jsonl", "_MANIFEST.json"]
)
def test_a_file_that_went_missing_is_made_anew_byte_for_byte(folder, file, name):
    config = settings_for(file)
    make_questions(folder, config)
    before = tree(folder)
    (folder / name).unlink()
    assert already_made(folder, config) is None
    make_questions(folder, config)
    assert tree(folder) == before


def test_a_changed_source_file_or_setting_is_refused_with_the_difference(folder, file):
    config = settings_for(file)
    make_questions(folder, config)
    for changed in (config | {"seed": 1}, config | {"train": 7}, config | {"answer_marker": "####"}):
        with pytest.raises(FingerprintMismatch, match="->"):
            already_made(folder, changed)
    write_rows(file, 201)
    with pytest.raises(FingerprintMismatch, match=r"files\.questions\.sha256"):
        already_made(folder, config)


def test_the_limit_the_place_and_the_presence_of_the_file_are_no_part_of_the_fingerprint(folder, file):
    config = settings_for(file)
    manifest = make_questions(folder, config)
    assert already_made(folder, config | {"max_bad_fraction": 0.5, "allow_unpinned": True}) == manifest
    moved = file.rename(file.with_name("moved.jsonl"))
    assert already_made(folder, settings_for(moved)) == manifest
    assert already_made(folder, config) == manifest, "the questions made from a file that is gone are complete"


def test_a_damaged_shard_and_a_stray_one_are_refused(folder, file):
    config = settings_for(file)
    make_questions(folder, config)
    shard = folder / "test-00000-of-00001.parquet"
    content = shard.read_bytes()
    shard.write_bytes(content[:-20])
    assert already_made(folder, config) is None
    with pytest.raises(CorruptArtifact, match="test-00000"):
        make_questions(folder, config)
    shard.write_bytes(content)
    (folder / "train-00001-of-00002.parquet").write_bytes(content)
    with pytest.raises(CorruptArtifact, match="train-00001"):
        make_questions(folder, config)


def test_shards_of_other_questions_are_not_adopted(folder, file):
    make_questions(folder, settings_for(file))
    (folder / "_MANIFEST.json").unlink()
    with pytest.raises(CorruptArtifact, match="other questions"):
        make_questions(folder, settings_for(write_rows(file, 150)))


BAD = ("not json", '{"question": "who?", "answers": []}', '{"question": "\\u001b[31m\\u0000", "answers": ["a"]}')


def test_too_many_bad_rows_leave_the_report_and_nothing_else(folder, file):
    write_rows(file, extra=BAD)
    with pytest.raises(BadInput) as error:
        make_questions(folder, settings_for(file))
    for part in (str(file), "3 of 203", "1 BAD_JSON", "1 EMPTY_ANSWERS", "1.00%", str(folder / "_quarantined.jsonl")):
        assert part in str(error.value)
    assert list(tree(folder)) == ["_quarantined.jsonl"]
    report = [json.loads(line) for line in (folder / "_quarantined.jsonl").read_text().splitlines()]
    assert [(row["line"], row["code"]) for row in report] == [
        (201, "BAD_JSON"),
        (202, "EMPTY_ANSWERS"),
        (203, "CONTROL_CHARACTER"),
    ]


def test_a_wrong_column_is_answered_with_the_columns_that_are_there(folder, tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("problem,solution,note\n" + "".join(f"what is {i},{i},\n" for i in range(60)))
    with pytest.raises(BadInput) as error:
        make_questions(folder, settings_for(file))
    message = str(error.value)
    assert "line 2: MISSING_FIELD" in message and "'what is 0'" in message and "note" in message
    assert "data.columns.question=[problem] data.columns.answers=[solution]" in message
    assert "max_bad_fraction" not in message


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08\x00", b'[{"question": "who"', b"PK\x03\x04", b"\xff\xfe\x00"])
def test_a_file_that_no_row_of_can_be_read_is_called_that(folder, file, content):
    file.write_bytes(content)
    with pytest.raises(BadInput, match="cannot be read") as error:
        make_questions(folder, settings_for(file))
    assert "max_bad_fraction" not in str(error.value)


def test_a_few_bad_rows_too_many_may_be_allowed(folder, file):
    write_rows(file, extra=BAD)
    with pytest.raises(BadInput, match=r"The first, line 201: BAD_JSON(.|\n)*higher data\.max_bad_fraction"):
        make_questions(folder, settings_for(file))


def test_a_mended_file_replaces_the_report(folder, file):
    write_rows(file, extra=BAD)
    with pytest.raises(BadInput):
        make_questions(folder, settings_for(file))
    manifest = make_questions(folder, settings_for(write_rows(file)))
    assert (folder / "_quarantined.jsonl").read_bytes() == b"" and manifest.quarantined == 0


def test_a_few_bad_rows_are_quarantined_and_the_run_goes_on(folder, file):
    write_rows(file, extra=BAD)
    manifest = make_questions(folder, settings_for(file, max_bad_fraction=0.02))
    assert manifest.extra["quarantined"] == {"BAD_JSON": 1, "CONTROL_CHARACTER": 1, "EMPTY_ANSWERS": 1}
    assert manifest.planned == 203 and manifest.quarantined == 3
    assert (folder / "_quarantined.jsonl").read_bytes().isascii() and b"\x1b" not in tree(folder)["_quarantined.jsonl"]


@pytest.mark.parametrize("content", [b"", b"\n\n", b'{"question": "who?", "answers": ["me"]}\n'])
def test_a_split_without_questions_is_refused(folder, file, content):
    file.write_bytes(content)
    with pytest.raises(BadInput, match="no question is left for"):
        make_questions(folder, settings_for(file))
    assert list(tree(folder)) == ["_quarantined.jsonl"]


def test_one_id_for_two_questions_is_refused_before_anything_is_written(folder, file):
    write_rows(file, extra=tuple(f'{{"id": "x", "question": "{word}?", "answers": ["b"]}}' for word in ("who", "what")))
    with pytest.raises(BadInput, match=r"questions\.jsonl:201 and .*questions\.jsonl:202"):
        make_questions(folder, settings_for(file))
    assert not folder.exists()


def test_a_path_that_is_not_there_is_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match="is not a file"):
        make_questions(folder, settings_for(tmp_path / "absent.jsonl"))


def command(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    python = [sys.executable, "-m", *arguments]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(python, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_the_stage_as_a_command(tmp_path, file):
    composed = command(tmp_path, "conf", "run=demo", "data=local", f"data.files.questions.path={file}")
    assert composed.returncode == 0, composed.stderr
    first = command(tmp_path, "data", "run=demo")
    assert first.returncode == 0 and len(first.stdout.splitlines()) == 3, first.stderr
    before = tree(tmp_path / "runs" / "demo" / "questions")
    begin = time.perf_counter()
    second = command(tmp_path, "data", "run=demo")
    assert second.stdout == first.stdout and time.perf_counter() - begin < 5  # 0.5 on an idle machine
    assert tree(tmp_path / "runs" / "demo" / "questions") == before
    write_rows(file, 190)
    changed = command(tmp_path, "data", "run=demo")
    assert changed.returncode == 3 and "files.questions.sha256" in changed.stderr


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["data=local"], "data.files.questions.path"),
        (["data=nq_paper"], "no pinned origin"),
        (["data.splits.train.interval=[0.1,1.0]"], "overlap"),
        (["data.splits.test.file=dev"], "data.splits draws from"),
        (["data.files.dev.hub.revision=main"], "revision"),
        (["data.train=0"], "data.train"),
        (["data.max_bad_fraction=2"], "max_bad_fraction"),
    ],
)
def test_wrong_settings_are_refused_before_a_run_exists(tmp_path, overrides, message):
    refused = command(tmp_path, "conf", "run=demo", *overrides)
    assert refused.returncode == 2 and message in refused.stderr, refused.stderr
    assert not (tmp_path / "runs").exists()
