"""A study over recipes and seeds: its runs share pools where they may, and its table names every comparison once."""

import json
import shutil
import subprocess

import pytest

from tests.sweeping import generated_tokens, sweep

GRID = ["name=study", "recipe=paper,both,aggregate", "seed=0,1", "iterations=1", "sampling.num_initial=3",
        "sampling.num_corrections=2", "strategy=ENF", "training.stop_check.num_prompts=0", "reward=in_accuracy",
        "data.train=8", "data.validation=4", "data.test=20"]  # fmt: skip


@pytest.fixture(scope="module")
def studied(project):
    done = sweep(project, *GRID)
    assert done.returncode == 0, done.stdout + done.stderr
    return project


def test_recipes_share_the_samples_of_m_0_where_these_are_the_same(studied):
    pools = json.loads((studied.folder / "runs" / "_sweeps" / "study" / "pools.json").read_text())
    assert [pools[f"study-{recipe}-s0"]["pool"] for recipe in ("paper", "both", "aggregate")] == [
        "study.pool-s0", "study.pool-s0", "study.pool-aggregate-s0",
    ]  # fmt: skip
    assert "eval.num_samples=3" in pools["study-aggregate-s0"]["overrides"]
    assert "eval.num_samples=1" in pools["study-both-s0"]["overrides"]
    names = ("study-paper-s0", "study-both-s0", "study-aggregate-s1")
    assert [generated_tokens(studied, name) for name in names] == [0, 0, 0]


def test_the_table_has_a_line_a_recipe_and_says_what_it_could_compare(studied):
    table = studied.stage("analysis.study", "sweep=study").stdout
    lines = table.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [["paper", "2"], ["aggregate", "2"], ["both", "2"]]
    assert "8 comparisons, p-values adjusted together (Holm)" in table
    assert "both: t2 against paper's t2" in table and "STaR" not in table
    named = studied.stage("analysis.study", "sweep=study", "print=paper").stdout.split()
    assert named == ["study-paper-s0", "study-paper-s1"]
    for run in named:
        command = ["make", "baseline-m0", "baseline-star", f"RUN={run}", "ARGS="]
        done = subprocess.run(command, cwd=studied.folder, env=studied.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    table = studied.stage("analysis.study", "sweep=study").stdout
    assert "14 comparisons" in table
    assert table.count("against STaR's first answer") == 3
    assert "paper: t2 against any correct of " in table and "aggregate: t2 against M_0's majority of " in table


def test_one_seed_is_no_study(studied):
    folder = studied.folder / "runs" / "_sweeps"
    (folder / "short" / "runs").mkdir(parents=True)
    for path in (folder / "study" / "runs").glob("*-s0.json"):
        shutil.copy(path, folder / "short" / "runs")
    done = studied.stage("analysis.study", "sweep=short", check=False)
    assert done.returncode == 4 and "give seed=0,1,2" in done.stderr
