"""Every row of the table in docs/formats.md is read with its words, through Make and Hydra, as the table says."""

import json
import shlex
from pathlib import Path

import pytest

from conf.__main__ import composed
from data.columns import columns_in, guess
from data.rows import read_questions
from store.run import Run

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"
TABLE = PAGE.read_text().partition("| form |")[2].partition("\n\n")[0]  # the page has another one, of presets
LINES = [line for line in TABLE.splitlines() if line.startswith("| ")]


def cells(line: str) -> list[str]:
    return [cell.strip().strip("`") for cell in line.strip("|").split("|")]


def content_of(row: str) -> bytes:
    """The file that a cell stands for: `\\n` ends a line, except in JSON."""
    return (row if row.startswith(("{", "[")) else row.replace("\\n", "\n")).encode()


@pytest.mark.parametrize("line", LINES, ids=lambda line: cells(line)[0].replace(" ", "-"))
def test_the_words_of_a_row_read_it(line):
    _, row, words, golds = cells(line)
    shell = shlex.split(shlex.split(f'ARGS="{words}"')[0].removeprefix("ARGS="))  # the user's shell, then Make's
    data = composed(Run("demo"), ["data=local", "data.files.questions.path=x", *shell])["data"]
    reading = read_questions("x", content_of(row), None, "local", data["columns"], data["answer_marker"])
    [question] = reading.questions
    assert question.answers == json.loads(golds) and not reading.quarantined


@pytest.mark.parametrize("line", LINES, ids=lambda line: cells(line)[0].replace(" ", "-"))
def test_looking_at_a_row_finds_its_columns(line):
    form, row, _, golds = cells(line)
    columns = columns_in(content_of(row), None)
    chosen = guess(columns)
    if form in ("names in turn", "a column with a space"):
        assert len(chosen) < 2
    else:
        names = {"id": [], "question": [chosen["question"]], "answers": [chosen["answers"]]}
        reading = read_questions("x", content_of(row), None, "local", names, chosen.get("marker"))
        assert reading.questions[0].answers == json.loads(golds)


def test_the_table_is_there():
    assert len(LINES) >= 15
