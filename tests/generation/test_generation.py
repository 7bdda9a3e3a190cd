import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from store.run import Run
from store.schemas import CORRECTIONS, INITIAL_ANSWERS, SPLITS
from store.shards import iter_shards, read_manifest
from tests.conftest import make_workspace


def rows(run: Run, iteration: int, table: str, schema, splits=SPLITS):
    folder = getattr(run.iteration(iteration), table)
    manifest = read_manifest(folder)
    return [
        row
        for split in splits
        for _, shard in iter_shards(folder, manifest, split, schema)
        for row in shard.to_pylist()
    ]


def contents(run: Run) -> dict:
    return {path: path.read_bytes() for path in run.dir.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, tiny_model) -> Path:
    """A folder with a run whose iter_00 has been generated."""
    workspace = make_workspace(tmp_path_factory.mktemp("drawn"), tiny_model)
    workspace.start("demo")
    workspace.quick_stage("generation", "run=demo", "iteration=0")
    return workspace.folder


@pytest.fixture
def generated(drawn, workspace):
    """A copy of it, to be changed."""
    shutil.copytree(drawn / "runs", workspace.folder / "runs")
    return workspace, Run("demo", workspace.folder / "runs")


def test_every_planned_sample_is_there_once_and_belongs_to_its_own_parent(generated):
    _, run = generated
    answers = {(r["question_id"], r["init_index"]): r for r in rows(run, 0, "initial_answers", INITIAL_ANSWERS)}
    corrections = rows(run, 0, "corrections", CORRECTIONS)
    keys = {(r["question_id"], r["init_index"], r["corr_index"]) for r in corrections}
    assert len(answers) == 20 * 2 + 6 + 6
    assert len(corrections) == len(keys) == 20 * 2 * 3 + 6 + 6
    for row in corrections:
        parent = answers[row["question_id"], row["init_index"]]
        assert row["initial_answer"] == parent["text"]
        assert {"role": "assistant", "content": parent["text"]} in row["prompt"]


def test_seeds_are_all_different_and_gold_answers_are_nowhere(generated):
    _, run = generated
    samples = rows(run, 0, "initial_answers", INITIAL_ANSWERS) + rows(run, 0, "corrections", CORRECTIONS)
    assert len({row["seed"] for row in samples}) == len(samples)
    for name in ("initial_answers", "corrections"):
        for path in (run.iteration(0).dir / name).glob("*.parquet"):
            assert "answers" not in pq.read_schema(path).names


def test_a_finished_stage_does_nothing_and_changes_no_byte(generated):
    workspace, run = generated
    before = contents(run)
    done = workspace.stage("generation", "run=demo", "iteration=0")
    assert "complete" in done.stdout
    assert contents(run) == before


@pytest.mark.parametrize(
    "overrides", [["launcher.shard_questions=3"], ["launcher.workers=3"], ["engine.throughput.max_num_seqs=7"]]
)
def test_samples_do_not_depend_on_shards_workers_or_batches(generated, overrides):
    workspace, run = generated
    workspace.start("other", *overrides)
    workspace.quick_stage("generation", "run=other", "iteration=0")
    other = Run("other", run.root)
    assert rows(run, 0, "initial_answers", INITIAL_ANSWERS) == rows(other, 0, "initial_answers", INITIAL_ANSWERS)
    assert rows(run, 0, "corrections", CORRECTIONS) == rows(other, 0, "corrections", CORRECTIONS)


def test_a_smaller_grid_cell_is_a_subset_of_a_larger_one(generated):
    workspace, run = generated
    workspace.start("small", "sampling.num_initial=1", "sampling.num_corrections=1")
    workspace.quick_stage("generation", "run=small", "iteration=0")
    large = {(r["question_id"], r["init_index"], r["corr_index"]): r for r in rows(run, 0, "corrections", CORRECTIONS)}
    small = rows(Run("small", run.root), 0, "corrections", CORRECTIONS)
    assert small
    assert all(large[r["question_id"], r["init_index"], r["corr_index"]] == r for r in small)


def test_a_missing_shard_is_made_again_byte_for_byte(generated):
    workspace, run = generated
    path = run.iteration(0).corrections / "train-00001-of-00004.parquet"
    before = path.read_bytes()
    path.unlink()
    workspace.stage("generation", "run=demo", "iteration=0")
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["truncate", "flip", "foreign", "stray"])
def test_a_damaged_foreign_or_stray_shard_is_named(generated, damage):
    workspace, run = generated
    folder = run.iteration(0).corrections
    path = folder / "train-00001-of-00004.parquet"
    content = path.read_bytes()
    (folder / "_MANIFEST.json").unlink()
    if damage == "truncate":
        path.write_bytes(content[:-100])
    elif damage == "flip":
        path.write_bytes(content[:2000] + bytes([content[2000] ^ 1]) + content[2001:])
    elif damage == "foreign":
        path.write_bytes((folder / "train-00002-of-00004.parquet").read_bytes())
    else:
        path = folder / "extra.parquet"
        path.write_bytes(content)
    done = workspace.quick_stage("generation", "run=demo", "iteration=0", check=False)
    assert done.returncode == 5
    assert path.name in done.stderr


def test_an_edited_plan_is_refused(generated):
    workspace, run = generated
    path = run.iteration(0).dir / "_plan.json"
    path.write_text(path.read_text().replace('"num_initial": 2', '"num_initial": 1'))
    done = workspace.quick_stage("generation", "run=demo", "iteration=0", check=False)
    assert done.returncode == 5
    assert "_plan.json" in done.stderr


def test_a_prompt_that_is_too_long_is_quarantined_and_its_neighbors_are_not_touched(workspace):
    path = workspace.folder / "questions.jsonl"
    lines = path.read_text().splitlines()
    row = json.loads(lines[7])
    lines[7] = json.dumps(row | {"question": row["question"] + " and" * 3000})
    path.write_text("\n".join(lines))
    workspace.start("demo", "data.train=null", "data.validation=6", "data.test=6")
    workspace.stage("generation", "run=demo", "iteration=0")
    questions = read_manifest(workspace.run("demo") / "questions")
    manifest = read_manifest(workspace.run("demo") / "iter_00" / "initial_answers")
    num_train = questions.shards["train-00000-of-00001.parquet"]["rows"]
    assert manifest.planned == num_train * 2 + 6 + 6
    assert manifest.quarantined in (1, 2)  # a training question has two samples, a held-out one has one
    assert manifest.planned == manifest.written + manifest.quarantined
    report = (workspace.run("demo") / "iter_00" / "initial_answers" / "_quarantined.jsonl").read_text()
    assert "PROMPT_TOO_LONG" in report


def test_a_request_the_engine_refuses_is_quarantined_alone(workspace):
    workspace.start("demo")
    question = pq.read_table(workspace.run("demo") / "questions" / "train-00000-of-00001.parquet")["question_id"][
        3
    ].as_py()
    workspace.start("refusing", f"+engine.args.refuse={question}")
    workspace.stage("generation", "run=refusing", "iteration=0")
    manifest = read_manifest(workspace.run("refusing") / "iter_00" / "initial_answers")
    assert manifest.quarantined == 2


def test_held_out_answers_evolve_where_those_of_training_are_reused(workspace):
    workspace.iterate("demo", 1, "strategy=FIF", "eval.initialization=evolving", "filter.margin=2")
    answers = Run("demo", workspace.folder / "runs").iteration(1).initial_answers
    assert set(read_manifest(answers).reused) == {"train"}
    assert sorted({path.name.partition("-")[0] for path in answers.glob("*.parquet")}) == ["test", "validation"]
