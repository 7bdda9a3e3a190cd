"""The notebook of examples/ runs on a finished run, and its two files hold the same cells."""

import json
import re
import sys

import pytest

from tests.conftest import ROOT

PROGRAM = ROOT / "examples" / "reading_a_run.py"
NOTEBOOK = PROGRAM.with_suffix(".ipynb")
EXECUTE = """in a Jupyter that has ipywidgets and the project's packages, after make demo:
    jupytext --to ipynb examples/reading_a_run.py
    jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False \\
        examples/reading_a_run.ipynb"""


@pytest.fixture(scope="module")
def notebook():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


def test_the_program_runs(finished, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(finished.folder)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setattr("sys.path", [*sys.path])  # which the program adds to
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path))
    names = {}
    exec(compile(PROGRAM.read_text(encoding="utf-8"), PROGRAM.name, "exec"), names)
    printed = capsys.readouterr().out
    assert "M_0  t1" in printed and "M_1  t2" in printed
    assert [len(estimates) for estimates in names["curves"].values()] == [2, 2]


def test_the_notebook_has_the_cells_of_the_program(notebook):
    _, *marked = re.split(r"^# %%(.*)\n", PROGRAM.read_text(encoding="utf-8"), flags=re.MULTILINE)
    kinds = ["markdown" if "markdown" in mark else "code" for mark in marked[::2]]
    texts = [text.strip() for text in marked[1::2]]
    plain = [
        re.sub("^# ?", "", text, flags=re.MULTILINE) if kind == "markdown" else text
        for kind, text in zip(kinds, texts, strict=True)
    ]
    cells = [(cell["cell_type"], "".join(cell["source"]).strip()) for cell in notebook["cells"]]
    assert cells == list(zip(kinds, plain, strict=True)), EXECUTE


def test_the_notebook_was_executed_from_top_to_bottom(notebook):
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1)), EXECUTE
    outputs = [output for cell in code for output in cell["outputs"]]
    assert {output.get("name", output["output_type"]) for output in outputs} == {"stdout", "display_data"}, EXECUTE
    assert any("image/png" in output.get("data", {}) for output in outputs)
