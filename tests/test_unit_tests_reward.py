"""Stages with reward=unit_tests: gold programs are checked, pairs have their share of tests, a killed stage goes on."""

import json
import shutil
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filtering.rewards import unit_tests
from store.run import Run
from store.shards import read_manifest
from tests.conftest import Workspace, make_workspace

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap: apt-get install bubblewrap")

# The engine answers with a piece of the prompt, mostly of these lines: a program, and sometimes one with a function.
LINES = "\n".join(["f=max", "f=min"] * 12)
TESTS = ["assert 1 == 1", "assert f(1, 2) == 2", "assert f([3, 4]) == 4"]
CODE = ["reward=unit_tests", "data.columns.more=[test_list]", "prompt.initial=[{role: user, content: '{question}'}]",
        "prompt.correction=[{role: user, content: '{question}\n{initial_answer}'}]", "filter.margin=0.3",
        "strategy=ENF", "data.train=8", "data.validation=2", "data.test=2"]  # fmt: skip


def make(folder, model, answer: str = "f = max") -> Workspace:
    workspace = make_workspace(folder, model)
    rows = [{"id": f"t{n}", "question": f"{n}\n{LINES}", "answers": [answer], "test_list": TESTS} for n in range(60)]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return workspace


def rows(folder) -> list[dict]:
    return pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("*.parquet"))).to_pylist()


@pytest.fixture(scope="module")
def looped(tmp_path_factory, tiny_model):
    workspace = make(tmp_path_factory.mktemp("code"), tiny_model)
    workspace.start("demo", *CODE)
    said = workspace.stage("filtering.golds", "run=demo").stdout
    assert said.startswith("the gold answers of 12 questions pass their 36 tests, ")
    for stage in ("generation", "filtering"):
        workspace.stage(stage, "run=demo", "iteration=0")
    return workspace


def test_every_pair_has_the_share_of_tests_that_its_programs_pass(looped):
    found = rows(looped.run("demo") / "iter_00" / "trajectories")
    asked = unit_tests.tested({"test_list": TESTS, "answers": ["f = max"]})
    for side in ("initial", "correction"):
        texts = sorted({row["initial_answer" if side == "initial" else "correction"] for row in found})
        scores = dict(zip(texts, unit_tests.score(texts, [asked] * len(texts)).tolist(), strict=True))
        for row in found:
            text = row["initial_answer" if side == "initial" else "correction"]
            assert row[f"{side}_reward"] == row[f"{side}_unit_tests"] == scores[text]
    assert len({row["correction_reward"] for row in found}) > 1
    assert len(found) == 8 * 2 * 3 + 4


def test_a_finished_run_has_no_work_verifies_and_is_rescored(looped):
    assert "complete" in looped.stage("filtering", "run=demo", "iteration=0").stdout
    looped.stage("analysis.verify", "run=demo")
    looped.stage("conf", "run=again", "samples_of=demo", "like=demo", "filter.margin=0")
    looped.stage("filtering", "run=again", "iteration=0")
    before, after = (rows(looped.run(run) / "iter_00" / "trajectories") for run in ("demo", "again"))
    assert [row["correction_reward"] for row in before] == [row["correction_reward"] for row in after]


def test_a_stage_killed_amid_its_programs_goes_on_and_leaves_none_of_them(looped, tmp_path):
    shutil.copytree(looped.folder, tmp_path, dirs_exist_ok=True)
    place = Workspace(tmp_path, looped.settings)
    folder = Run("demo", tmp_path / "runs").iteration(0)
    before = read_manifest(folder.trajectories)
    shutil.rmtree(folder.trajectories)
    command = [sys.executable, "-m", "filtering", "run=demo", "iteration=0"]
    with subprocess.Popen(command, cwd=tmp_path, env=place.environment, start_new_session=True) as process:
        deadline = time.monotonic() + 120
        while not (sandboxes := [pid for pid in descendants(process.pid) if pid[1] == "bwrap"]):
            assert process.poll() is None and time.monotonic() < deadline
        process.kill()
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid, _ in sandboxes):
        assert time.monotonic() < deadline
    place.stage("filtering", "run=demo", "iteration=0")
    assert read_manifest(folder.trajectories) == before


def descendants(pid: int) -> list[tuple[int, str]]:
    """The processes under one, (pid, name), at this moment."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[tuple[int, str]]] = {}
    for line in listed.splitlines():
        own, parent, name = line.split(maxsplit=2)
        children.setdefault(int(parent), []).append((int(own), name))
    every, waiting = [], [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            every.append(child)
            waiting.append(child[0])
    return every


def alive(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(listed.strip()) and not listed.startswith("Z")


@pytest.mark.parametrize(("answer", "overrides", "code", "said"), [
    ("f = min", [], 4, "its gold answer passes 33% of its tests: change one or the other"),
    ("f = max", ["data.columns.more=[]"], 2, "runs programs with the tests of their questions, and these have none"),
    ("f = max", ["data.columns.more=[]", "+data.columns.optional=[test_list]"], 2, "optional names test_list, which"),
    ("f = max", ["data.columns.more=[test_list,test]", "+data.columns.optional=[test]"], 0, "pass their 36 tests"),
])  # fmt: skip
def test_what_cannot_be_scored_is_refused_at_the_start(tmp_path, tiny_model, answer, overrides, code, said):
    place = make(tmp_path, tiny_model, answer)
    done = place.stage("conf", "run=demo", *place.settings, *CODE, *overrides, check=False)
    if done.returncode == 0:
        place.stage("data", "run=demo")
        done = place.stage("filtering.golds", "run=demo", check=False)
    assert done.returncode == code and said in done.stdout + done.stderr, done.stderr


def test_no_sandbox_ends_the_stage_with_the_package_to_install(looped, tmp_path):
    looped.environment["PATH"], path = str(tmp_path), looped.environment["PATH"]
    try:
        done = looped.stage("filtering.golds", "run=demo", check=False)
    finally:
        looped.environment["PATH"] = path
    assert done.returncode == 2 and "`apt-get install bubblewrap`" in done.stderr


def test_a_line_of_a_file_is_scored_by_the_command(looped):
    case = {"text": "```python\nf = max\n```", "golds": "f = max", "test_list": TESTS, "label": 1}
    (looped.folder / "cases.jsonl").write_text(json.dumps(case) + "\n" + json.dumps(case | {"text": "f = min"}) + "\n")
    said = looped.stage("filtering.score", "reward=unit_tests", "file=cases.jsonl").stdout
    assert said.startswith("1: 1 ") and "\n2: 0.333 " in said and "agree on 1 of 2" in said
