"""What `python -m data file=...` says is true: the command it ends with makes the questions that it counted."""

import json
import shlex
import subprocess

import pytest

from data.columns import args_of, setting, settings_for
from data.look import DEFAULTS
from tests.conftest import Workspace

HARD = "my 'own' file, with $HOME = \"1\" & #2.csv"


def look(workspace: Workspace, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    return workspace.quick_stage("data", *arguments, check=check)


def rows(count: int = 60) -> list[dict]:
    return [{"problem": f"what is {i}", "solution": i, "aliases": [f"number {i}"]} for i in range(count)]


def composed_by_make(project: Workspace, line: str) -> list[str]:
    """The arguments that Make's command for a run's settings has, as a shell splits them."""
    make = f"make -n questions RUN=looked DATA=local {line}"
    done = subprocess.run(make, shell=True, cwd=project.folder, capture_output=True, text=True)
    [command] = [text for text in done.stdout.splitlines() if " -m conf " in text]
    return [word for word in shlex.split(command) if word.startswith("data.")]


@pytest.mark.parametrize("name", ["plain.jsonl", HARD])
def test_the_command_it_prints_uses_the_file(project, name):
    (project.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows()))
    done = look(project, f"file={name}", "answers=solution+aliases")
    assert "60 of 60 rows" in done.stdout and "'what is 0' -> ['0', 'number 0']" in done.stdout
    line = done.stdout.splitlines()[-1]
    words = composed_by_make(project, line[line.index("ARGS=") :])
    run = "looked-" + ("plain" if name == "plain.jsonl" else "hard")
    project.stage("conf", f"run={run}", "data=local", *words)
    assert "quarantined: no row" in project.stage("data", f"run={run}").stdout


@pytest.mark.parametrize("column", ["plain", "a b", "it's", 'say "so"', "x[0]", "a,b", "$x", "back\\slash"])
def test_any_columns_name_reaches_the_settings(project, column):
    (project.folder / "columns.jsonl").write_text(json.dumps({column: "what", "answer": "it"}) + "\n")
    words = settings_for({"question": column}, DEFAULTS)
    found = composed_by_make(project, args_of([setting("data.files.questions.path", "columns.jsonl"), *words]))
    run = f"columns-{abs(hash(column))}"
    project.stage("conf", f"run={run}", "data=local", *found)
    refused = project.stage("data", f"run={run}", check=False)
    assert "1 usable rows" in refused.stderr, "one question is too few for three splits, and it was read"


def test_refused_rows_are_shown_with_the_first_reason(workspace):
    lines = [json.dumps(row) for row in rows()] + ["not json", json.dumps({"problem": "", "solution": 1})]
    (workspace.folder / "some.jsonl").write_text("\n".join(lines))
    done = look(workspace, "file=some.jsonl")
    assert "60 of 62 rows" in done.stdout
    assert "1 BAD_JSON, first line 61" in done.stdout and "1 EMPTY_QUESTION, first line 62" in done.stdout


def test_worked_answers_are_noticed(workspace):
    (workspace.folder / "worked.jsonl").write_text('{"question": "1 + 1", "answer": "One and one.\\n#### 2"}\n')
    done = look(workspace, "file=worked.jsonl")
    assert "-> ['2']" in done.stdout and "data.answer_marker" in done.stdout


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["file=absent.csv"], 2, "is not a file"),
        (["file=foreign.csv"], 4, "give question=COLUMN"),
        (["file=foreign.csv", "questoin=frage"], 2, "questoin"),
        (["file=torn.csv.gz"], 4, "damaged or truncated gzip"),
        (["file=empty.csv"], 4, "has no rows"),
    ],
)
def test_what_cannot_be_used_says_why(workspace, arguments, code, said):
    (workspace.folder / "foreign.csv").write_text("frage,antwort\nwer,ich\n")
    (workspace.folder / "torn.csv.gz").write_bytes(b"\x1f\x8b\x08\x00")
    (workspace.folder / "empty.csv").write_text("question,answer\n")
    done = look(workspace, *arguments, check=False)
    assert done.returncode == code and said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr and not (workspace.folder / "runs").exists()


def test_the_names_given_beat_the_guess(workspace):
    (workspace.folder / "foreign.csv").write_text("frage,antwort\nwer,ich\n")
    done = look(workspace, "file=foreign.csv", "question=frage", "answers=antwort")
    assert "'wer' -> ['ich']" in done.stdout and "data.columns.question=[frage]" in done.stdout
