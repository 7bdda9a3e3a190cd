"""A study over recipes and seeds: its runs share pools where they may, its table names every comparison once."""

import shutil
import subprocess
from types import SimpleNamespace

import pytest
import yaml

from analysis import study
from analysis.baselines.votes import Sample
from conf.__main__ import composed
from store.errors import BadInput
from store.fingerprint import flatten
from store.run import Run
from sweep import pools
from tests.sweeping import sweep

GRID = ["name=study", "recipe=paper,both,aggregate", "seed=0,1", "iterations=1", "sampling.num_initial=3",
        "sampling.num_corrections=2", "strategy=ENF", "training.stop_check.num_prompts=0", "reward=in_accuracy",
        "data.train=8", "data.validation=4", "data.test=20"]  # fmt: skip


@pytest.fixture(scope="module")
def studied(project):
    done = sweep(project, *GRID)
    assert done.returncode == 0, done.stdout + done.stderr
    return project


def test_recipes_share_the_samples_of_m_0_where_these_are_the_same():
    recipes = {recipe: [f"recipe={recipe}", "seed=0"] for recipe in ("paper", "both", "replay", "aggregate", "verdict")}
    settings = [flatten(composed(Run(recipe), overrides)) for recipe, overrides in recipes.items()]
    found = pools("study", ["recipe", "seed"], recipes, settings)
    assert {recipe: each["pool"] for recipe, each in found.items()} == {
        **dict.fromkeys(("paper", "both", "replay"), "study.pool-s0"),
        "aggregate": "study.pool-aggregate-s0", "verdict": "study.pool-verdict-s0",
    }  # fmt: skip
    assert "eval.num_samples=3" in found["aggregate"]["overrides"]
    assert {"seed=0", "eval.num_samples=1"} <= set(found["both"]["overrides"])
    assert not any("recipe" in override for override in found["both"]["overrides"])


def test_m_0_answers_every_question_where_one_of_its_answers_takes_more_tokens_than_the_recipes(monkeypatch):
    samples = {f"q{number}": [Sample("Paris", True, 20)] * 2 for number in range(40)}
    monkeypatch.setattr(study, "made_for", lambda *_: [Run("a-m0"), Run("b-m0")])
    monkeypatch.setattr(study.votes, "read_samples", lambda *_: samples)
    monkeypatch.setattr(study, "answer_tokens", lambda row: 10.0)
    several = study.of_several(study.Recipe("paper", [None, None]))
    assert several.name == "any correct of 1.0 answers of M_0 (200% of its tokens)"
    assert all(counts.sums["c->c"].all() for counts in several.counts)


def test_the_answers_of_m_0_are_drawn_once_for_all_recipes_that_ask_alike(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = {"paper": 3, "both": 5, "replay": 4, "verdict": 9}
    for recipe in asked:
        Run(recipe).dir.mkdir(parents=True)
        settings = {"run": recipe, **flatten(composed(Run(recipe), [f"recipe={recipe}", "seed=0"]))}
        Run(recipe).config.write_text(yaml.safe_dump(settings))
    monkeypatch.setattr(study, "num_answers", lambda run: asked[run.name])
    assert study.answers_of_m0(asked) == [
        ("verdict", "null"), ("both", "null"), ("replay", "both-m0"), ("paper", "both-m0")
    ]  # fmt: skip


@pytest.mark.nightly
def test_the_table_has_a_line_a_recipe_and_says_what_it_could_compare(studied):
    table = studied.stage("analysis.study", "sweep=study").stdout
    lines = table.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [["paper", "2"], ["aggregate", "2"], ["both", "2"]]
    assert "8 comparisons, p-values adjusted together (Holm)" in table
    assert "aggregate: t2 against paper's t2" in table and "STaR" not in table
    of_paper, answers = (
        studied.stage("analysis.study", "sweep=study", f"print={which}").stdout.split() for which in ("paper", "m0")
    )
    assert of_paper == ["study-paper-s0", "study-paper-s1"]
    assert {each.partition(":")[0] for each in answers} == {
        f"study-{recipe}-s{seed}" for recipe in ("paper", "both", "aggregate") for seed in (0, 1)
    }
    assert sorted(each.partition(":")[2] for each in answers).count("null") == 4, "paper and both share their answers"
    wanted = [("baseline-star", run, "") for run in of_paper]
    wanted += [("baseline-m0", run, f"launcher.pool={pool}") for run, _, pool in (a.partition(":") for a in answers)]
    for baseline, run, arguments in wanted:
        command = ["make", baseline, f"RUN={run}", f"ARGS={arguments}"]
        done = subprocess.run(command, cwd=studied.folder, env=studied.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    table = studied.stage("analysis.study", "sweep=study").stdout
    assert "14 comparisons" in table
    assert table.count("against STaR's first answer") == 3
    assert "paper: t2 against any correct of " in table and "aggregate: t2 against M_0's majority of " in table
    assert "study-study.png" in studied.stage("analysis.report.differences", "study=study").stdout


def test_a_baseline_that_is_not_like_its_run_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "a-star" / "iter_01").mkdir(parents=True)
    (tmp_path / "runs" / "a-star" / "iter_01" / "metrics.json").write_text("{}")
    monkeypatch.setattr(study, "missing", lambda run, made, found, number: f"{made.dir} was scored by another reward")
    recipe = study.Recipe("paper", [SimpleNamespace(run="a")])
    with pytest.raises(BadInput, match=r"a-star was scored by another reward.*`make baseline-star RUN=a`"):
        study.baseline(recipe, "star", 1)
    assert study.baseline(recipe, "m0", 0) == [], "it was not made"


@pytest.mark.nightly
def test_one_seed_is_no_study(studied):
    folder = studied.folder / "runs" / "_sweeps"
    (folder / "short" / "runs").mkdir(parents=True)
    for path in (folder / "study" / "runs").glob("*-s0.json"):
        shutil.copy(path, folder / "short" / "runs")
    done = studied.stage("analysis.study", "sweep=short", check=False)
    assert done.returncode == 4 and "give seed=0,1,2" in done.stderr
