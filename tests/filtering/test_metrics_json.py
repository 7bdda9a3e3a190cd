"""metrics.json says the same as a query over the trajectories."""

import json

import duckdb
import pytest

from filtering.__main__ import filter_iteration
from tests.filtering.hand_made import HELD_OUT, SETTINGS, TRAIN, rows, source


@pytest.fixture
def run(make_run):
    return make_run({"train": TRAIN, "test": HELD_OUT})


def test_metrics_are_what_duckdb_counts_in_the_files(run):
    summary = filter_iteration(source(run), SETTINGS, 0)
    assert json.loads(run.iteration(0).metrics.read_bytes()) == summary
    files = f"'{run.iteration(0).trajectories}/*.parquet'"
    for split, metrics in summary["splits"].items():
        counted = duckdb.sql(f"""
            select count(*), count(distinct question_id), sum((initial_reward >= 0.5)::int),
                sum((correction_reward >= 0.5)::int), sum(kept::int), sum(is_copy::int),
                sum((correction_finish_reason = 'length')::int), avg(initial_token_f1),
                sum(list_contains(flags, 'correction_no_final_answer')::int)
            from read_parquet({files}) where split = '{split}'
        """).fetchall()
        assert counted == [(
            metrics["num_pairs"], metrics["num_questions"], metrics["num_initial_correct"],
            metrics["num_correction_correct"], metrics["num_kept"], metrics["num_copies"],
            metrics["num_correction_truncated"], pytest.approx(metrics["mean_rewards"]["initial_token_f1"]),
            metrics["num_correction_format_failures"],
        )]  # fmt: skip
        transitions = {name: entry["count"] for name, entry in metrics["transitions"].items() if entry["count"]}
        for column, counts in (("transition", transitions), ("reason", metrics["reasons"])):
            query = f"select {column}, count(*) from read_parquet({files}) where split = '{split}' group by 1"
            assert dict(duckdb.sql(query).fetchall()) == counts
        assert metrics["t2"] - metrics["t1"] == pytest.approx(metrics["delta"])


def test_metrics_report_questions_that_hold_their_answer_apart(run):
    train = filter_iteration(source(run), SETTINGS, 0)["splits"]["train"]
    assert (train["gold_in_question"]["num_pairs"], train["without_gold_in_question"]["num_pairs"]) == (4, 8)
    assert train["gold_in_question"]["transitions"]["c->i"]["count"] == 2
    assert train["without_gold_in_question"]["t1"] == 2 / 8
    assert train["num_initial_answers"] == 6
    assert train["num_initial_answer_tokens"] == sum(len(a) + 1 for q in TRAIN for a, _ in q[3])


def test_metrics_are_given_without_what_train_has_too(make_run):
    flags = {
        "t0": {"exact": "q0", "normalized": "q0", "near_duplicate": "q0", "shared_answer": "q0"},
        "t1": {"near_duplicate": "q1"},
        "t2": {"shared_answer": "q2"},
    }
    answers = enumerate(["Rome", "Rome", "x", "x"])
    test = [(f"t{i}", f"question {i}", ["Rome"], [(answer, ["Rome"])]) for i, answer in answers]
    overlap = {"train/test": flags, "validation/test": {"t3": {"exact": "v"}}}
    run = make_run({"train": TRAIN, "test": test}, overlap=overlap)
    splits = filter_iteration(source(run), SETTINGS, 0)["splits"]
    assert {row["question_id"]: row["flags"] for row in rows(run, split="test")} == {
        "t0": ["overlap", "shared_answer"], "t1": ["overlap"], "t2": ["shared_answer"], "t3": [],
    }  # fmt: skip
    found = splits["test"]
    assert (found["num_pairs"], found["t1"], found["t2"]) == (4, 0.5, 1)
    assert (found["without_overlap"]["num_pairs"], found["without_overlap"]["t1"]) == (2, 0)
    assert (found["without_shared_answer"]["num_pairs"], found["without_shared_answer"]["t1"]) == (2, 0.5)
    assert splits["train"]["without_overlap"]["num_pairs"] == splits["train"]["num_pairs"]
