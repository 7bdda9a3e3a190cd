"""Trajectories in the terminal and for other tools: what is asked for, all of it, and nothing else."""

import io
import json
import os
import pty
import subprocess
import sys

import duckdb
import pyarrow.parquet as pq
import pytest

SELECTIONS = [
    ((), "true"),
    (("split=test",), "split = 'test'"),
    (("iteration=1", "transition=i-c"), "iteration = 1 AND transition = 'i->c'"),
    (("kept=no",), "NOT kept"),
    (("words=AMBER or", "split=train"), "split = 'train' AND texts LIKE '%amber%' AND texts LIKE '%or%'"),
    (("words=no such words",), "false"),
]


@pytest.fixture(scope="module")
def pairs(loop):
    files = loop[1].dir / "iter_*" / "trajectories" / "*.parquet"
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE pairs AS SELECT *, CAST(regexp_extract(filename, 'iter_(\\d+)', 1) AS INTEGER) AS iteration, "
        "lower(concat_ws(chr(10), question, array_to_string(answers, chr(10)), initial_answer, correction)) AS texts "
        f"FROM read_parquet('{files}', filename = true)"
    )
    return connection


def count(pairs, condition: str) -> int:
    return pairs.execute(f"SELECT count(*) FROM pairs WHERE {condition}").fetchone()[0]


@pytest.mark.parametrize(("arguments", "condition"), SELECTIONS, ids=str)
def test_a_selection_holds_the_pairs_that_a_query_finds(loop, pairs, arguments, condition):
    workspace, _ = loop
    lines = workspace.quick_stage("analysis.inspection", "run=demo", "format=jsonl", *arguments).stdout.splitlines()
    assert len(lines) == count(pairs, condition)
    shown = workspace.quick_stage("analysis.inspection", "run=demo", "limit=0", *arguments).stdout
    assert shown.count("\n  correction") == len(lines)
    assert ("no pair meets these conditions" in shown) == (not lines)


def test_counts_come_first_and_the_limit_is_per_transition(loop, pairs):
    workspace, _ = loop
    shown = workspace.stage("analysis.inspection", "run=demo", "limit=1").stdout
    first = shown.splitlines()[2].split()
    assert first[:3] == ["train", "0", str(count(pairs, "iteration = 0 AND split = 'train'"))]
    present = {transition for (transition,) in pairs.execute("SELECT DISTINCT transition FROM pairs").fetchall()}
    assert shown.count("\n  correction") == len(present)


def test_one_question_is_shown_at_every_checkpoint(loop, pairs):
    workspace, run = loop
    question_id = pairs.execute("SELECT min(question_id) FROM pairs WHERE split = 'train'").fetchone()[0]
    output = workspace.stage("analysis.inspection", "run=demo", f"question={question_id}", "format=jsonl").stdout
    rows = [json.loads(line) for line in output.splitlines()]
    assert {row["question_id"] for row in rows} == {question_id}
    assert {row["iteration"] for row in rows} == {iteration.number for iteration in run.iterations()}


def test_parquet_holds_every_column_exactly(loop, pairs):
    workspace, run = loop
    command = [sys.executable, "-m", "analysis.inspection", "run=demo", "format=parquet"]
    done = subprocess.run(command, cwd=workspace.folder, env=workspace.environment, capture_output=True, check=True)
    table = pq.read_table(io.BytesIO(done.stdout))
    shards = sorted((run.dir / "iter_01" / "trajectories").glob("test-*.parquet"))
    expected = [row | {"iteration": 1} for shard in shards for row in pq.read_table(shard).to_pylist()]
    rows = table.to_pylist()
    assert [row for row in rows if row["iteration"] == 1 and row["split"] == "test"] == expected
    assert len(rows) == count(pairs, "true")


WRONG = ["split=tests", "transition=i>c", "kept=maybe", "format=xml", "iteration=x", "limit=-1"]


@pytest.mark.parametrize("argument", WRONG)
def test_a_wrong_argument_is_named_with_what_was_expected(loop, argument):
    workspace, _ = loop
    done = workspace.quick_stage("analysis.inspection", "run=demo", argument, check=False)
    assert done.returncode == 2
    assert "expected" in done.stderr


def test_an_iteration_that_is_not_there_says_what_to_run(loop):
    workspace, _ = loop
    done = workspace.stage("analysis.inspection", "run=demo", "iteration=7", check=False)
    assert done.returncode == 2
    assert "make iterate N=7 RUN=demo" in done.stderr


def on_terminal(workspace, *arguments: str, **environment: str) -> str:
    """The output of a command whose standard output is a terminal."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "analysis.inspection", "run=demo", *arguments]
    process = subprocess.Popen(
        command, cwd=workspace.folder, env=workspace.environment | environment, stdout=follower, stderr=follower
    )
    os.close(follower)
    parts = []
    try:
        while part := os.read(leader, 1 << 16):
            parts.append(part)
    except OSError:  # the end of a terminal, as Linux says it
        pass
    os.close(leader)
    process.wait()
    return b"".join(parts).decode()


def test_a_terminal_gets_color_and_a_pager_elsewhere_is_plain_text(loop, tmp_path):
    workspace, _ = loop
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho PAGED\ncat\n")
    pager.chmod(0o755)
    shown = on_terminal(workspace, "limit=1", PAGER=str(pager))
    assert shown.startswith("PAGED")
    assert "\x1b[32mcorrect" in shown
    assert "\x1b" not in on_terminal(workspace, "limit=1", PAGER="cat", NO_COLOR="1")
    assert "\x1b[1mrun demo" in on_terminal(workspace, "limit=1", PAGER="no-such-pager")
    assert "\x1b" not in workspace.stage("analysis.inspection", "run=demo", "limit=1").stdout
    assert "not for a terminal" in on_terminal(workspace, "format=parquet")


def test_a_reader_that_stops_early_is_no_error(loop):
    workspace, _ = loop
    command = f"'{sys.executable}' -m analysis.inspection run=demo format=csv | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=workspace.folder, env=workspace.environment, capture_output=True, text=True
    )
    assert done.stdout.endswith("\n0\n")
    assert done.stderr == ""
