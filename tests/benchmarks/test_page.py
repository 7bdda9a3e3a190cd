"""The top of docs/performance.md says what was recorded, and nothing that was missed is left out."""

import pytest

from benchmarks.measure import Row, table
from benchmarks.page import CHART, LINES, PAGE, RECORD, Recorded, compare, draw, put, read, top


@pytest.fixture(scope="module")
def record():
    return read(RECORD)


def test_the_page_and_its_chart_are_made_from_the_record(record):
    page = PAGE.read_text(encoding="utf-8")
    assert put(page, top(record)) == page, "run python -m benchmarks.page"
    drawn = draw([compare(line, record) for line in LINES])
    assert drawn == CHART.read_bytes(), "run python -m benchmarks.page"


def test_what_the_table_prints_is_read_again(tmp_path):
    rows = [
        Row("In-accuracy / straightforward", [30.0, 33.71, 40.0], "x", at_least=20),
        Row("engine starts", [2.0], "", at_most=1),
        Row("a name of more characters than the column has: ones that are not at all few", [-0.00123], "%"),
        Row("pairs", [599_700.0], "pairs/s", at_most=100_000),
        Row("difference", [8.72e-06], "%", at_most=1),
    ]
    path = tmp_path / "table.txt"
    path.write_text(f'exec .venv/bin/python -m benchmarks \n{{\n "cores": 1\n}}\n{table(rows)}\n', encoding="utf-8")
    assert read(path) == [
        Recorded("In-accuracy / straightforward", "33.7", "x", ">= 20", "met"),
        Recorded("engine starts", "2", "", "<= 1", "missed"),
        Recorded(rows[2].name, "-0.00123", "%", "", ""),
        Recorded("pairs", "599,700", "pairs/s", "<= 100,000", "missed"),
        Recorded("difference", "8.72e-06", "%", "<= 1", "met"),
    ]


def test_every_row_of_the_record_is_read(record):
    lines = RECORD.read_text(encoding="utf-8").splitlines()
    judged = [line for line in lines if line.endswith(("met", "missed"))]
    assert len([row for row in record if row.verdict]) == len(judged) > 20


def test_missed_targets_are_all_named(record):
    missed = [row.name for row in record if row.verdict == "missed"]
    listed = top(record).partition("missed:")[2]
    assert missed and all(f"- {name}:" in listed for name in missed)


def test_a_row_that_was_not_recorded_is_named(record):
    without = [row for row in record if row.name != "stage / transformers.generate"]
    with pytest.raises(SystemExit, match=r"no row 'stage / transformers\.generate'"):
        top(without)
