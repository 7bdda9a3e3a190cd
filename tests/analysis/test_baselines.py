"""Baselines take as many tokens as the run, measured; a row that cannot be had says why."""

import json
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest

from analysis.baselines import budget, votes
from analysis.baselines.table import Baseline, read_baselines
from analysis.baselines.votes import Sample, any_right, decide, first_of, majority
from analysis.efficiency import grids
from store.errors import BadInput
from store.run import Run
from tests.conftest import Workspace, make_workspace

PROMPTS = ("initial", "correction")


def samples(*answers: str, right: str = "paris") -> list[Sample]:
    return [Sample(answer, answer == right, 1 + len(answer)) for answer in answers]


def test_the_majority_is_the_answer_given_most_often_and_the_first_of_equals():
    assert majority(samples("rome", "paris", "paris"))
    assert not majority(samples("rome", "paris", "rome"))
    assert not majority(samples("rome", "paris"))
    assert majority(samples("paris", "rome"))


def test_samples_without_an_answer_do_not_vote():
    assert majority(samples("", "", "paris"))
    assert not majority(samples("", ""))
    assert any_right(samples("", "rome", "paris")) and not any_right(samples("rome"))


def test_a_fraction_of_a_sample_is_one_more_for_that_share_of_the_questions():
    pool = {f"q{i:04}": samples(*"abcdefgh") for i in range(2000)}
    sizes = {key: len(used) for key, used in first_of(pool, 3.25).items()}
    assert set(sizes.values()) == {3, 4}
    assert sum(sizes.values()) / len(sizes) == pytest.approx(3.25, abs=0.03)
    assert [len(used) for used in first_of(pool, 3.0).values()] == [3] * 2000
    fewer = dict(list(pool.items())[:100])
    assert {key: len(used) for key, used in first_of(fewer, 3.25).items()} == {key: sizes[key] for key in fewer}


def test_each_question_has_one_outcome():
    counts = decide({"q1": samples("rome"), "q0": samples("paris", "rome")}, any_right)
    assert counts.question_ids.tolist() == ["q0", "q1"]
    assert (counts.sums["c->c"].tolist(), counts.sums["i->i"].tolist()) == ([1, 0], [0, 1])


def test_answers_that_could_not_be_scored_take_their_tokens_too(monkeypatch):
    """Of three initial answers and one correction of each question, none scored: 60 tokens an answer to all questions,
    300 for training, 240 for the answers to test."""
    of_split = {"num_initial_answer_tokens": 180, "num_correction_tokens": 60, "num_questions": 0}
    config = SimpleNamespace(prompt=SimpleNamespace(num_answers=1), sampling=SimpleNamespace(num_initial=3),
                             eval=SimpleNamespace(num_samples=3))  # fmt: skip
    monkeypatch.setattr(budget, "load", lambda run: config)
    monkeypatch.setattr(budget, "trained_iterations", lambda run: [0, 1])
    monkeypatch.setattr(budget, "split_metrics", lambda *_: of_split)
    monkeypatch.setattr(budget, "training_tokens", lambda _: 300)
    assert "sampling.num_initial=5" in budget.settings_of(Run("demo"), "star")
    assert budget.num_answers(Run("demo")) == 240 / 60 + 1


def test_a_split_without_a_scored_sample_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(votes, "read_tables", lambda *_: iter(()))
    with pytest.raises(BadInput, match="iter_00/trajectories has no pairs of the split test: start a run"):
        votes.read_samples(Run("demo", tmp_path).iteration(0), "initial")


def test_without_a_scored_validation_question_no_checkpoint_is_the_best(workspace):
    score = "[float('nan') if question.startswith('validation') else 1.0 for question in questions]"
    (workspace.folder / "some.py").write_text(f"def score(questions, texts, golds):\n    return {score}\n")
    workspace.settings = [setting for setting in workspace.settings if not setting.startswith("data")]
    workspace.settings.append("data=local_splits")
    for split in ("train", "validation", "test"):
        path = workspace.folder / f"{split}.jsonl"
        rows = [{"question": f"{split} {number}: red or blue?", "answers": ["red"]} for number in range(4)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        workspace.settings.append(f"data.files.{split}.path={path}")
    reward = ("reward=python", "reward.function=some.py:score", "reward.max_unscorable=1", "strategy=ENF")
    workspace.iterate("demo", 1, *reward, "training.stop_check.num_prompts=0")
    done = workspace.quick_stage("analysis.baselines", "run=demo", check=False)
    assert done.returncode == 4 and "has no pairs of the split validation: none could be scored" in done.stderr


def make_baseline(workspace: Workspace, name: str, run: str = "demo") -> None:
    """What `make baseline-<name>` runs."""
    settings = workspace.stage("analysis.baselines", f"run={run}", f"settings={name}").stdout.split()
    made = Workspace(workspace.folder, [])
    made.iterate(f"{run}-{name}", 0 if name == "m0" else 1, f"like={run}", *settings)


@pytest.fixture(scope="module")
def measured(tmp_path_factory, tiny_model) -> tuple[Path, dict[str, Baseline]]:
    """A run of two iterations with three samples per test question, and its table."""
    workspace = make_workspace(tmp_path_factory.mktemp("baselines"), tiny_model)
    workspace.settings += ["eval.num_samples=3", "data.train=36", "data.test=8", "sampling.num_initial=3"]
    asking = ("{question}", "{question} {initial_answer}")  # nothing else: so its pieces are right now and then
    prompts = [f"prompt.{key}=[{{role:user,content:'{text}'}}]" for key, text in zip(PROMPTS, asking, strict=True)]
    quick = ("sampling.max_tokens=5", "training.stop_check.num_prompts=0", "strategy.filter=none")
    workspace.iterate("demo", 2, "strategy=FNF", *prompts, *quick)
    before = workspace.stage("analysis.baselines", "run=demo").stdout
    assert "`make baseline-star RUN=demo` makes it" in before and "`make baseline-m0 RUN=demo` makes it" in before
    for name in ("m0", "star", "gold"):
        make_baseline(workspace, name)
    screen = workspace.stage("analysis.baselines", "run=demo").stdout
    rows = read_baselines(Run("demo", workspace.folder / "runs"))
    assert all(row.name in screen and row.words in screen for row in rows)
    return workspace.folder / "runs", {row.name: row for row in rows}


def row(table: dict[str, Baseline], start: str) -> Baseline:
    (found,) = [row for name, row in table.items() if name.startswith(start)]
    return found


def query(sql: str, **folders: Path):
    return duckdb.sql(sql.format(**folders)).fetchall()[0]


def test_star_trains_on_as_many_tokens_as_the_run(measured):
    runs, table = measured
    (answers,) = query("select sum(len(token_ids)) from '{f}/train-*.parquet'", f=runs / "demo/iter_00/initial_answers")
    corrections = [
        query("select sum(len(token_ids)) from '{f}/train-*.parquet'", f=runs / f"demo/iter_{n:02d}/corrections")[0]
        for n in (0, 1)
    ]
    spent = answers + sum(corrections)  # M_0's answers are reused by iteration 1: generated once
    assert row(table, "STaSC M_2, last").training_tokens == spent
    (of_star,) = query(
        "select sum(len(token_ids)) from '{f}/train-*.parquet'", f=runs / "demo-star/iter_00/initial_answers"
    )
    star = row(table, "STaR")
    assert star.training_tokens == of_star
    assert star.budget == of_star / spent == pytest.approx(1, abs=0.05)
    assert "not an equal budget" not in star.words


def test_answers_of_m_0_to_held_out_questions_are_copied_not_drawn_again(measured):
    runs, _ = measured
    ((drawn,),) = duckdb.sql(f"select count(*) from '{runs}/demo/iter_00/corrections/test-*.parquet'").fetchall()
    for name in ("star", "gold"):
        same = f"""select count(*) from '{runs}/demo/iter_00/corrections/test-*.parquet' one
            join '{runs}/demo-{name}/iter_00/corrections/test-*.parquet' two
            using (question_id, init_index, corr_index, token_ids)"""
        assert duckdb.sql(same).fetchall() == [(drawn,)]
        copied = json.loads((runs / f"demo-{name}" / "iter_00" / "stats" / "generation-pool.json").read_text())
        assert copied["copied_samples"] >= 2 * drawn
    assert grids(Run("demo", runs))[0].cells.keys() == {(3, 3)}, "no baseline is a run on the pool"


def test_a_majority_takes_as_many_tokens_as_the_runs_pairs(measured):
    runs, table = measured
    folder = runs / "demo/iter_02/trajectories"
    (tokens,) = query("select sum(initial_num_tokens + correction_num_tokens) / 8 from '{f}/test-*.parquet'", f=folder)
    assert row(table, "STaSC M_2, majority of 3 corrections").inference_tokens == pytest.approx(tokens)
    majority = row(table, "M_0, majority of")
    assert majority.inference_tokens == pytest.approx(majority.budget * tokens)
    # of eight questions: a sample more or less is 2 % of the budget
    assert majority.budget == pytest.approx(1, abs=0.1)
    assert row(table, "M_0, any of").accuracy.value >= majority.accuracy.value


def test_every_row_is_on_the_same_questions_with_its_own_figure(measured):
    runs, table = measured
    assert {row.accuracy.num_questions for row in table.values()} == {8}
    figures = {
        "M_0, asked once": ("demo/iter_00", "t1"),
        "M_0, asked twice": ("demo/iter_00", "t2"),
        "M_2, its first answer kept": ("demo/iter_02", "t1"),
        "STaSC M_2, last": ("demo/iter_02", "t2"),
        "STaR": ("demo-star/iter_01", "t1"),
        "Trained on the gold answers": ("demo-gold/iter_01", "t1"),
    }
    for start, (folder, figure) in figures.items():
        metrics = json.loads((runs / folder / "metrics.json").read_text())["splits"]["test"]
        assert row(table, start).accuracy.value == pytest.approx(metrics[figure]), start
    assert row(table, "STaSC M_2, last").words == "what the others are compared with"
    assert row(table, "Trained on the gold").training_tokens == 0


def test_one_pair_for_each_question_affords_no_majority(measured, tiny_model, tmp_path):
    workspace = make_workspace(tmp_path, tiny_model)
    workspace.iterate("demo", 1, "strategy.filter=none", "training.stop_check.num_prompts=0", "data.train=4")
    make_baseline(workspace, "m0")
    screen = workspace.stage("analysis.baselines", "run=demo").stdout
    assert "a run with eval.num_samples=1 has one pair for each question: nothing to vote on" in screen
    assert "a majority takes 3 answers: a run with eval.num_samples=" in screen
    table = {row.name: row for row in read_baselines(Run("demo", workspace.folder / "runs"))}
    assert row(table, "M_0, any of").accuracy is not None


def test_a_run_that_trained_nothing_has_no_baselines(workspace):
    workspace.iterate("demo", 0)
    done = workspace.stage("analysis.baselines", "run=demo", check=False)
    assert done.returncode == 2
    assert "run `make iterate N=1 RUN=demo` first" in done.stderr
    done = workspace.stage("analysis.baselines", "run=demo", "settings=starr", check=False)
    assert done.returncode == 2 and "one of m0, star, gold was expected" in done.stderr
