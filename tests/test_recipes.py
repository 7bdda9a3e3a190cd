"""Recipes in a whole loop: rows of every kind are trained as they were sampled, counted on screen, report and cards."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from analysis.explain import trained
from store.run import Run
from store.shards import read_manifest

LOOP = ("strategy=ENF", "training.stop_check.num_prompts=0", "sampling.num_initial=4", "reward=in_accuracy")
# The deterministic engine answers with a piece of the prompt: with little else in it, now and then with a color, or
# with a verdict.
THREE = ["sampling.num_initial=3", "eval.num_samples=3"]
SHORT = [
    'prompt.initial=[{role: user, content: "{question}"}]',
    'prompt.correction=[{role: user, content: "{question} {initial_answer}"}]',
]
RECIPES = {
    "both": [*SHORT, "strategy.trains_on=both", "filter.pairing=siblings", "filter.siblings_per_kept_correct=2"],
    "verdict": [
        "+prompt.verdict={keep: Yes, replace: No}",
        'prompt.correction=[{role: user, content: "{question} {initial_answer} Yes. No. Yes. No."}]',
    ],
    "aggregate": [
        "+prompt.num_answers=3", "eval.num_samples=3",
        'prompt.correction=[{role: user, content: "{question} {answers}"}]',
    ],
}  # fmt: skip


def shards(folder) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("*.parquet")))


@pytest.fixture(scope="module")
def recipes(tmp_path_factory, tiny_model):
    from tests.conftest import make_workspace

    workspace = make_workspace(tmp_path_factory.mktemp("recipes"), tiny_model)
    workspace.settings[-2] = "sampling.num_corrections=2"
    for name, settings in RECIPES.items():
        workspace.iterate(name, 1, *LOOP, *settings)
    return workspace


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_finished_run_of_a_recipe_has_no_work_and_verifies(recipes, recipe):
    for stage in ("generation", "filtering"):
        assert "complete" in recipes.quick_stage(stage, f"run={recipe}", "iteration=1").stdout
    assert "complete" in recipes.quick_stage("training", f"run={recipe}", "iteration=1").stdout
    recipes.quick_stage("analysis.verify", f"run={recipe}")


def test_every_row_is_the_tokens_of_the_sample_that_it_names(recipes):
    folder = recipes.run("both") / "iter_00"
    sampled = {}
    for row in shards(folder / "initial_answers").to_pylist():
        sampled[row["question_id"], row["init_index"], -1] = row
    for row in shards(folder / "corrections").to_pylist():
        sampled[row["question_id"], row["init_index"], row["corr_index"]] = row
    rows = shards(folder / "sft").to_pylist()
    assert {row["reason"] for row in rows} >= {"kept_correct", "sibling", "first_turn"}
    for row in rows:
        question = row["question_id"]
        completion = sampled[question, row["completion_init_index"], row["completion_corr_index"]]
        asked = sampled[question, row["init_index"], -1 if row["reason"] == "first_turn" else 0]
        assert row["prompt"] == asked["prompt"]
        assert row["input_ids"] == asked["prompt_token_ids"] + completion["token_ids"]
        assert row["completion_mask"] == [0] * len(asked["prompt_token_ids"]) + [1] * len(completion["token_ids"])
        assert row["completion"] == [{"role": "assistant", "content": completion["text"]}]
    manifest = read_manifest(Run("both", recipes.folder / "runs").iteration(0).sft)
    train = json.loads((folder / "metrics.json").read_text())["splits"]["train"]
    assert sum(train["trained_rows"].values()) == manifest.written == len(rows)
    costs = json.loads((recipes.run("both") / "iter_01" / "stats" / "training.json").read_text())
    assert costs["rows"] == len(rows)


def test_questions_of_initial_answers_that_are_trained_are_explained_as_trained(recipes):
    rows = shards(recipes.run("both") / "iter_00" / "sft").to_pylist()
    of_corrections = {row["question_id"] for row in rows if row["reason"] != "first_turn"}
    learned = {each.question_id for each in trained(Run("both", recipes.folder / "runs"), 1)}
    assert learned == {row["question_id"] for row in rows} > of_corrections


def test_a_correction_reads_the_first_answers_of_its_question(recipes):
    folder = recipes.run("aggregate") / "iter_00"
    answers = {}
    for row in shards(folder / "initial_answers").to_pylist():
        answers.setdefault(row["question_id"], {})[row["init_index"]] = row["text"]
    for row in shards(folder / "corrections").to_pylist():
        of_question = answers[row["question_id"]]
        read = [0, 1, 2] if row["init_index"] < 3 else [0, 1, row["init_index"]]
        shown = "\n".join(f"{number}. {of_question[j]}" for number, j in enumerate(read, 1))
        assert row["prompt"][-1]["content"].endswith(shown)
        assert row["initial_answer"] == of_question[row["init_index"]]


@pytest.mark.parametrize("command", ["analysis.start", "analysis.efficiency"])
def test_sizes_have_as_many_first_answers_as_a_correction_reads(recipes, command):
    said = recipes.quick_stage(command, "run=aggregate").stdout.splitlines()
    sizes = [tuple(map(int, line.split()[:2])) for line in said if line[:6].strip().isdecimal()]
    assert sizes == [(3, 1), (3, 2), (4, 1), (4, 2)]


def test_what_recipes_come_to_is_on_the_screen_in_the_report_and_on_the_cards(recipes):
    for recipe, expected in (
        ("both", "D_0: "),
        ("verdict", "M_1 on test: verdicts keep "),
        ("aggregate", "M_1 on test: "),
    ):
        screen = recipes.quick_stage("analysis", f"run={recipe}").stdout
        recipes.quick_stage("analysis.report", f"run={recipe}")
        recipes.quick_stage("analysis.cards", f"run={recipe}")
        report = (recipes.run(recipe) / "report.html").read_text()
        lines = [line for line in screen.splitlines() if line.startswith(expected)]
        assert lines and all(line in report for line in lines), screen
        of_first = [line for line in screen.splitlines() if line.startswith(("M_0 on test: ", "D_0: "))]
        start = recipes.quick_stage("analysis.start", f"run={recipe}").stdout
        assert all(line in start.splitlines() for line in of_first) and "D_1" not in start, start
        if recipe != "both":
            assert lines[0] in (recipes.run(recipe) / "iter_01" / "checkpoint" / "README.md").read_text()
    card = (recipes.run("both") / "iter_00" / "sft" / "README.md").read_text()
    assert "sibling" in card and "first_turn" in card and "completion_corr_index" in card


@pytest.mark.parametrize(("settings", "message"), [
    (["prompt=verdict", "eval.rounds=2"], "set eval.rounds=1, not 2"),
    (["prompt=verdict", "compat=paper"], "does not go with compat.cross_pairing"),
    (["prompt=aggregate"], "prompt.num_answers=3 are read, sampling.num_initial=2: set it to as many"),
    (["prompt=aggregate", "sampling.num_initial=3"], "eval.num_samples=1: set it to as many"),
    (["filter.pairing=siblings", "strategy=EIF"], "goes with strategy.filter=non_decreasing and trained corrections"),
    (["recipe=both", "strategy=STAR"], "strategy.filter=correct does not fit strategy.trains_on=both, which takes imp"),
    (["prompt=aggregate", *THREE, "+prompt.verdict={keep: as, replace: one}"], "shows several: leave one of them out"),
    (["strategy.trains_on=both", "compat.separate_training_prompt=true"], "strategy.trains_on=both does not go with"),
])  # fmt: skip
def test_settings_that_do_not_go_together_are_refused_before_anything_is_made(workspace, settings, message):
    done = workspace.quick_stage("conf", "run=demo", *workspace.settings, *settings, check=False)
    assert done.returncode == 2 and message in done.stderr
    assert not workspace.run("demo").exists() or not (workspace.run("demo") / "config.yaml").exists()


@pytest.mark.parametrize(
    "recipe", ["prompt=verdict", "prompt=aggregate", "prompt=skills_verdict", "prompt=skills_aggregate"]
)
def test_the_presets_compose(workspace, recipe):
    settings = THREE if "aggregate" in recipe else []
    workspace.quick_stage("conf", "run=demo", *workspace.settings, recipe, *settings)


def test_replay_goes_with_the_authors_code(workspace):
    workspace.quick_stage("conf", "run=demo", *workspace.settings, "training.rows=all", "compat=paper")


def test_a_run_of_an_earlier_version_is_what_it_was(workspace):
    workspace.start("demo")
    config = yaml.safe_load((workspace.run("demo") / "config.yaml").read_text())
    assert not {"verdict", "num_answers"} & config["prompt"].keys()
    assert not {"pairing", "siblings_per_kept_correct", "first_turns_per_correction"} & config["filter"].keys()
