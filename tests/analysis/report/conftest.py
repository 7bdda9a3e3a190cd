"""Two finished runs: one of the whole loop, and one with hand-made texts of every kind, hostile ones among them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from store.publish import write_atomic
from store.run import Run
from store.schemas import CORRECTIONS, INITIAL_ANSWERS
from store.shards import Manifest, describe_shard, encode_shard, shard_name, verify_shard
from tests.analysis.report.browser import CHROMIUM, MISSING, Browser
from tests.conftest import Workspace, make_workspace

SCRIPT = "</script><script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
HOSTILE = [
    SCRIPT,
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 and \x9b2J",
    "user\u202egnp.exe\u202c and \u2066isolated\u2069",
    "=cmd|' /C calc'!A0",
    "+1+1 \u2028 next line \u2029 and\ttab",
    "${alert(1)} {{ 7 * 7 }} {% raw %} &amp; <b>bold</b>",
    "[link](javascript:alert(1)) `code` | cell | <!-- comment",
]
CAPITALS = {"France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Kenya": "Nairobi", "Peru": "Lima", "Niger": "Niamey"}


@pytest.fixture(scope="session")
def loop(tmp_path_factory, tiny_model, finished) -> tuple[Workspace, Run]:
    """A copy of the finished run, for what writes its own files into it: reports, cards."""
    workspace = make_workspace(tmp_path_factory.mktemp("loop"), tiny_model)
    shutil.copytree(finished.folder / "runs", workspace.folder / "runs")
    return workspace, Run("demo", workspace.folder / "runs")


@pytest.fixture(scope="session")
def hostile(tmp_path_factory, tiny_model) -> tuple[Workspace, Run]:
    """One iteration whose questions and texts are hand-made, scored and filtered by the stages themselves."""
    workspace = make_workspace(tmp_path_factory.mktemp("hostile"), tiny_model)
    run = start_hand_made(workspace, "hostile")
    write_samples(run, 2, 3)
    workspace.quick_stage("filtering", "run=hostile", "iteration=0")
    return workspace, run


def start_hand_made(workspace: Workspace, name: str, *overrides: str) -> Run:
    """A run on questions of which some are hostile."""
    rows = [{"question": f"What is the capital of {country}?", "answers": [city]} for country, city in CAPITALS.items()]
    rows += [{"question": f"{number}: {text}", "answers": [text]} for number, text in enumerate(HOSTILE)]
    (workspace.folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    workspace.start(name, *overrides)
    return Run(name, workspace.folder / "runs")


def write_samples(run: Run, num_initial: int, num_corrections: int) -> None:
    """Initial answers and corrections of every question, as generation leaves them."""
    folder, shards = run.iteration(0), {"initial_answers": {}, "corrections": {}}
    for split, *nums in (("train", num_initial, num_corrections), ("validation", 1, 1), ("test", 1, 1)):
        questions = pq.read_table(run.questions / shard_name(split, 0, 1)).to_pylist()
        initial, corrections = [], []
        for question in questions:
            for j in range(nums[0]):
                answers = texts_of(question, j)
                key = {"question_id": question["question_id"], "init_index": j}
                initial.append(sample(key, answers[0]))
                for k in range(nums[1]):
                    of_answer = {"corr_index": k, "initial_answer": answers[0]}
                    corrections.append(sample(key | of_answer, answers[1 + k]))
        tables = {"initial_answers": (initial, INITIAL_ANSWERS), "corrections": (corrections, CORRECTIONS)}
        for stage, (rows, schema) in tables.items():
            name = shard_name(split, 0, 1)
            content = encode_shard(pa.Table.from_pylist(rows, schema=schema), schema, {"stage": stage})
            write_atomic(folder.dir / stage / name, content)
            shards[stage][name] = describe_shard(content, verify_shard(content, folder.dir / stage / name))
    extra: dict[str, Any] = {}
    for stage, described in shards.items():
        rows = sum(shard["rows"] for shard in described.values())
        manifest = Manifest(stage, 0, {}, {}, rows, rows, 0, described, extra=extra)
        manifest.write(folder.dir / stage)
        extra = {"initial_answers": manifest.digest}


def texts_of(question: dict[str, Any], j: int) -> list[str]:
    """An initial answer and three corrections of it: wrong and right ones, copies, other words, hostile ones."""
    gold, hostile = question["answers"][0], HOSTILE[len(question["question"]) % len(HOSTILE)]
    if j == 0:
        return [f"It is Atlantis, {hostile}", f"It is {gold}.", f"It is Atlantis, {hostile}", "I am not sure."]
    return [f"It is {gold}", f"it is {gold}, since 1842!", f"{hostile} {gold}", "It is Atlantis"]


def sample(key: dict[str, Any], text: str) -> dict[str, Any]:
    return key | {
        "prompt": [{"role": "user", "content": "?"}],
        "prompt_token_ids": [1, 5, 6],
        "text": text,
        "token_ids": [7] * (len(text) % 11) + [2],
        "finish_reason": "stop",
        "seed": 7,
        "cumulative_logprob": -1.0,
    }


@pytest.fixture(scope="session")
def report(loop) -> Path:
    """The loop's report."""
    workspace, run = loop
    workspace.stage("analysis.report", "run=demo")
    return run.dir / "report.html"


@pytest.fixture(scope="session")
def hostile_report(hostile) -> Path:
    workspace, run = hostile
    workspace.stage("analysis.report", "run=hostile")
    return run.dir / "report.html"


@pytest.fixture
def browser(tmp_path):
    if CHROMIUM is None:
        pytest.skip(MISSING)
    opened = Browser(tmp_path / "profile")
    yield opened
    opened.close()
