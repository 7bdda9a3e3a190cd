"""The questions in queries.sql can be asked of any run, and their answers are those of metrics.json."""

import json
from pathlib import Path

import duckdb
import pytest

QUERIES = Path(__file__).parents[3] / "analysis" / "queries.sql"


@pytest.fixture(scope="module")
def answers(loop):
    """{first words of a query's comment: rows as dicts}."""
    workspace, _ = loop
    connection = duckdb.connect()
    connection.execute("SET VARIABLE run = 'demo'")
    found = {}
    for part in QUERIES.read_text(encoding="utf-8").split("\n\n"):
        title = part.partition("\n")[0].removeprefix("-- ")
        for statement in duckdb.extract_statements(part):
            result = connection.execute(statement.query.replace("'runs/'", f"'{workspace.folder}/runs/'"))
            names = [column[0] for column in result.description]
            found[title] = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    return found


@pytest.fixture(scope="module")
def metrics(loop):
    """{(split, iteration): its entry in metrics.json}."""
    return {
        (split, iteration.number): values
        for iteration in loop[1].iterations()
        for split, values in json.loads(iteration.metrics.read_text())["splits"].items()
    }


def answer(answers, words: str) -> list[dict]:
    (rows,) = [rows for title, rows in answers.items() if words in title]
    return rows


def test_every_query_runs_and_most_find_something(answers):
    questions = [title for title in answers if title.endswith(("?", ".")) and not title.startswith("SET")]
    assert len(questions) >= 12
    assert sum(bool(answers[title]) for title in questions) >= len(questions) - 4  # some find nothing in so small a run


def test_accuracy_is_that_of_metrics_json(answers, metrics):
    rows = answer(answers, "How right")
    assert {(row["split"], row["iteration"]) for row in rows} == metrics.keys()
    for row in rows:
        expected = metrics[row["split"], row["iteration"]]
        assert row["questions"], row["pairs"] == (expected["num_questions"], expected["num_pairs"])
        shares = [100 * expected[name] for name in ("t1", "t2", "delta")]
        assert [row["t1"], row["t2"], row["delta"]] == pytest.approx(shares)


def test_transitions_kept_rows_and_copies_are_those_of_metrics_json(answers, metrics):
    for row in answer(answers, "fix and break"):
        transitions = metrics[row["split"], row["iteration"]]["transitions"]
        assert {name: row[name] for name in transitions} == {n: entry["count"] for n, entry in transitions.items()}
    kept: dict[int, int] = {}
    for row in answer(answers, "Which training pairs are kept"):
        assert row["pairs"] == metrics["train", row["iteration"]]["reasons"][row["reason"]]
        kept[row["iteration"]] = kept.get(row["iteration"], 0) + row["kept"] * row["pairs"]
    assert kept == {n: values["num_kept"] for (split, n), values in metrics.items() if split == "train"}
    for row in answer(answers, "How often does a correction repeat"):
        assert row["copies"] == pytest.approx(100 * metrics[row["split"], row["iteration"]]["copy_rate"])


def test_trained_rows_are_those_of_the_sft_folder(answers, metrics):
    rows = answer(answers, "How many rows is the next checkpoint trained on")
    assert {row["iteration"]: row["rows"] for row in rows} == {
        n: values["num_kept"] for (split, n), values in metrics.items() if split == "train"
    }
