"""Test questions by what training could have taught of them; every figure again by DuckDB."""

import duckdb
import pytest

from analysis.explain import ALL, ANSWER, NEITHER, OTHER_SKILL, QUESTION, SKILL, group, measure, questions, trained
from analysis.stats.comparisons import difference_of
from analysis.stats.intervals import Estimate
from analysis.stats.taxonomy import CATEGORIES
from data.rows import Question
from store.run import Run


def asked(id: str, text: str, *answers: str) -> Question:
    return Question(id, text, list(answers), "", 0)


TRAINED = [
    asked("a", "who wrote the novel Frankenstein", "Mary Shelley"),
    asked("compare-0123456789abcdef", "Which number is larger, 12 or 47?", "47"),
]


def test_a_question_belongs_where_training_could_have_taught_it():
    found = group(TRAINED, [
        asked("q1", "who wrote the novel Frankenstein?", "Shelley"),
        asked("q2", "whose husband was Percy", "mary shelley"),
        asked("q3", "how high is the Eiffel tower", "330 m"),
        asked("compare-1123456789abcdef", "Is 15 more than 80?", "80"),
        asked("reverse-2123456789abcdef", "What is 74 with its digits in reverse?", "47"),
    ])  # fmt: skip
    everything = {id for ids in found.values() for id in ids}
    assert list(found) == [ALL, QUESTION, ANSWER, NEITHER, SKILL, OTHER_SKILL]
    assert found[ALL] == everything and len(everything) == 5
    assert found[QUESTION] == {"q1"} and found[ANSWER] == {"q2", "reverse-2123456789abcdef"}
    assert found[NEITHER] == {"q3", "compare-1123456789abcdef"}
    assert found[SKILL] == {"compare-1123456789abcdef"} and found[OTHER_SKILL] == {"reverse-2123456789abcdef"}


def test_questions_of_no_skill_have_no_groups_of_skills():
    assert list(group(TRAINED, [asked("nq-0123456789abcdef", "how high is the Eiffel tower", "330 m")])) == [
        ALL,
        NEITHER,
    ]


@pytest.fixture(scope="module")
def demo(finished) -> Run:
    return Run("demo", finished.folder / "runs")


def test_trained_questions_are_those_of_kept_rows(demo):
    rows = duckdb.sql(f"select distinct question_id from '{demo.iteration(0).trajectories}/train-*.parquet' where kept")
    assert {each.question_id for each in trained(demo, 1)} == {id for (id,) in rows.fetchall()}
    assert trained(demo, 0) == []


def test_figures_of_a_group_are_those_of_its_trajectories(demo):
    first, last = demo.iteration(0), demo.iteration(1)
    ids = {each.question_id for each in questions(first, "test")}
    some = set(sorted(ids)[:4])
    everything, part = measure(first, last, {ALL: ids | {"unscored"}, ANSWER: some, NEITHER: {"unknown"}})
    assert everything.change.words().endswith("on the questions that all have (1 left out)")
    assert part.change.num_left_out == 0
    for found, wanted in ((everything, ids), (part, some)):
        for n, iteration in enumerate((first, last)):
            rows = f"'{iteration.trajectories}/test-*.parquet' where question_id in {tuple(sorted(wanted))}"
            ((t1, unchanged),) = duckdb.sql(f"""
                select avg((transition[1] = 'c')::int), avg((initial_answer = correction)::int)
                from {rows}""").fetchall()
            assert found.t1[n].value == pytest.approx(t1)
            assert found.did["unchanged"][n] == pytest.approx(unchanged)
            assert sum(found.did[name][n] for name in CATEGORIES) == pytest.approx(1)
        assert found.change.difference.value == pytest.approx(found.t1[1].value - found.t1[0].value)


def test_the_table_says_what_each_mechanism_predicts(finished):
    said = finished.stage("analysis.explain", "run=demo").stdout
    assert said.startswith("run demo, test: t1 of M_0 and M_1, trained on demo\n")
    assert "Memory of facts would raise t1" in said and "A skill would raise it" in said
    assert "skill trained, too few questions to say" in said
    drawn = finished.stage("analysis.report.differences", "explain=demo").stdout
    assert drawn == "runs/_comparisons/demo-explain.png, .svg\n"
    picture = (finished.folder / "runs" / "_comparisons" / "demo-explain.svg").read_text()
    assert all(f"{line.split('  ')[0]} (" in picture for line in said.splitlines()[2:] if line[0].islower())


def test_two_groups_differ_by_independent_errors():
    low, high = Estimate(0.0, -0.03, 0.03, 100), Estimate(0.2, 0.16, 0.24, 100)
    assert difference_of(low, high) == "higher by 20.0 points (interval 15.0 to 25.0)"
    assert difference_of(low, Estimate(0.04, 0.0, 0.08, 100)).startswith(
        "no difference shown (minimum detectable effect 7.1"
    )


def test_what_has_no_first_answers_of_its_own_is_refused(workspace):
    workspace.iterate("fixed", 0, "strategy=FIF", "filter.margin=2")
    done = workspace.stage("analysis.explain", "run=fixed", check=False)
    assert done.returncode == 2 and "run `make iterate N=1 RUN=fixed` first" in done.stderr
    workspace.stage("training", "run=fixed", "iteration=1")
    workspace.stage("generation", "run=fixed", "iteration=1")
    workspace.stage("filtering", "run=fixed", "iteration=1")
    done = workspace.stage("analysis.explain", "run=fixed", check=False)
    assert done.returncode == 2 and "`make transfer RUN=fixed ON=own` asks every M_n" in done.stderr
    workspace.quick_stage("conf", "run=rescored", "like=fixed", "samples_of=fixed", "reward=token_f1")
    for n in (0, 1):
        workspace.quick_stage("filtering", "run=rescored", f"iteration={n}")
    done = workspace.quick_stage("analysis.explain", "run=rescored", check=False)
    assert done.returncode == 2 and "`make transfer RUN=fixed ON=own` asks every M_n" in done.stderr
