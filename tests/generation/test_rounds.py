"""Further rounds of correction, and greedy evaluation, on the deterministic engine."""

import json
from itertools import pairwise

import pytest

from store.run import Run
from store.schemas import CORRECTIONS
from store.shards import iter_shards, read_manifest
from tests.conftest import make_workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, tiny_model):
    """A workspace with the runs `once`, and `thrice`, whose evaluation corrects three times."""
    workspace = make_workspace(tmp_path_factory.mktemp("rounds"), tiny_model)
    for name, rounds in {"once": 1, "thrice": 3}.items():
        workspace.start(name, f"eval.rounds={rounds}", "eval.num_samples=2")
        workspace.quick_stage("generation", f"run={name}", "iteration=0")
    return workspace


def iteration(workspace, run: str):
    return Run(run, workspace.folder / "runs").iteration(0)


def rows(folder, split: str) -> dict[tuple, dict]:
    tables = [table for _, table in iter_shards(folder, read_manifest(folder), split, CORRECTIONS)]
    found = [row for table in tables for row in table.to_pylist()]
    keyed = {(row["question_id"], row["init_index"], row["corr_index"]): row for row in found}
    assert len(keyed) == len(found)
    return keyed


def test_a_round_corrects_each_correction_of_the_round_before(workspace):
    thrice = iteration(workspace, "thrice")
    for split in ("validation", "test"):
        rounds = [rows(thrice.corrections_of(number), split) for number in (1, 2, 3)]
        assert len(rounds[0]) == 6 * 2
        for before, after in pairwise(rounds):
            assert before.keys() == after.keys()
            for key, row in after.items():
                assert row["initial_answer"] == before[key]["text"]
                assert {"role": "assistant", "content": before[key]["text"]} in row["prompt"]
        assert len({row["seed"] for table in rounds for row in table.values()}) == 3 * 12
    assert rows(thrice.corrections_of(2), "train") == {}
    assert read_manifest(thrice.corrections_of(2)).extra == {"corrections": read_manifest(thrice.corrections).digest}


def test_more_rounds_leave_the_first_as_it_is(workspace):
    for split in ("train", "validation", "test"):
        tables = [rows(iteration(workspace, run).corrections, split) for run in ("once", "thrice")]
        assert tables[0] == tables[1]


def test_a_stage_that_lost_a_later_round_draws_that_round_alone(workspace):
    thrice = iteration(workspace, "thrice")
    before = {path: path.read_bytes() for path in thrice.dir.glob("*/*.parquet")}
    lost = next(thrice.corrections_of(3).glob("test-*.parquet"))
    lost.unlink()
    (thrice.corrections_of(3) / "_MANIFEST.json").unlink()
    workspace.quick_stage("generation", "run=thrice", "iteration=0")
    assert {path: path.read_bytes() for path in thrice.dir.glob("*/*.parquet")} == before
    costs = [json.loads(path.read_bytes()) for path in thrice.stats.glob("generation-*.json")]
    assert min(cost["requests"] for cost in costs) <= 5 * 2


def test_a_pool_with_as_many_rounds_spares_them_all(workspace):
    workspace.start("cell", "eval.rounds=2", "launcher.pool=thrice", "sampling.num_initial=1")
    workspace.quick_stage("generation", "run=cell", "iteration=0")
    cell, thrice = iteration(workspace, "cell"), iteration(workspace, "thrice")
    assert rows(cell.corrections_of(2), "test").items() <= rows(thrice.corrections_of(2), "test").items()
    assert [path.stem for path in cell.stats.glob("generation-*.json")] == ["generation-pool"]


def test_greedy_evaluation_is_the_same_for_every_seed_and_leaves_training_samples_alone(workspace):
    for name, seed in {"greedy": 0, "greedy-too": 7}.items():
        workspace.start(name, "eval.greedy=true", f"seed={seed}")
        workspace.quick_stage("generation", f"run={name}", "iteration=0")

    def texts(run: str, split: str) -> dict:
        return {key: row["text"] for key, row in rows(iteration(workspace, run).corrections, split).items()}

    assert texts("greedy", "test") == texts("greedy-too", "test")
    assert texts("greedy", "train") == texts("once", "train") != texts("greedy-too", "train")
    twice = [*workspace.settings, "eval.greedy=true", "eval.num_samples=2"]
    refused = workspace.stage("conf", "run=twice", *twice, check=False)
    assert refused.returncode == 2 and "eval.num_samples=2" in refused.stderr
