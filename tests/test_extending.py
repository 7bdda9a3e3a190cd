"""The diffs in docs/extending.md apply to this tree, and a pipeline runs with what they add."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from store.run import Run
from store.schemas import INITIAL_ANSWERS
from store.shards import iter_shards, required_manifest
from tests.conftest import ROOT

ROOMS = ("store", "conf", "data", "generation", "filtering", "training", "judging")
DIFFS = re.findall(r"```diff\n(.*?)```", (ROOT / "docs" / "extending.md").read_text(encoding="utf-8"), re.DOTALL)
SETTINGS = ["device=cpu", "data=capitals", "prompt=terse", "strategy=EAF", "engine=echo", "reward=prefix"]


@pytest.fixture
def extended(tmp_path):
    """A copy of the rooms with every diff applied, and the questions that the new data set names."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__", "cache"))
    for diff in DIFFS:
        command = ["git", "apply", "--whitespace=nowarn", "-"]
        subprocess.run(command, input=diff.encode(), cwd=tmp_path, check=True)
    rows = [
        {"id": f"c{n}", "question": f"What is the capital of land {n}?", "answers": [f"Town {n}"]} for n in range(90)
    ]
    (tmp_path / "capitals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_a_pipeline_runs_with_all_extensions(extended, tiny_model):
    run = Run("new", extended / "runs")
    stages = (["conf", "run=other", "strategy=ECF", "device=cpu"],
              ["conf", "run=new", *SETTINGS, f"model.path={tiny_model}"], ["data", "run=new"],
              ["training.base_model", "run=new"], ["filtering.golds", "run=new"],
              ["generation", "run=new", "iteration=0"],
              ["filtering", "run=new", "iteration=0"],
              ["conf", "run=own", "like=new", "samples_of=new", "reward=python", "reward.function=my_reward.py:score"],
              ["filtering.golds", "run=own"], ["filtering", "run=own", "iteration=0"])  # fmt: skip
    for stage in stages:
        done = subprocess.run([sys.executable, "-m", *stage], cwd=extended, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    answers = run.iteration(0).initial_answers
    manifest = required_manifest(answers, "generation")
    for _, table in iter_shards(answers, manifest, "train", INITIAL_ANSWERS):
        for prompt, answer in zip(table["prompt_token_ids"].to_pylist(), table["token_ids"].to_pylist(), strict=True):
            *said, stop = answer
            assert said == [token for token in prompt if token != stop][:3]  # as the engine on the page answers
    metrics = json.loads(run.iteration(0).metrics.read_bytes())
    assert {"initial_prefix", "correction_prefix"} <= metrics["splits"]["test"]["mean_rewards"].keys()
    metrics = json.loads(Run("own", run.root).iteration(0).metrics.read_bytes())
    assert {"initial_python", "correction_python"} <= metrics["splits"]["test"]["mean_rewards"].keys()
    shards = required_manifest(run.questions, "data").shards.values()
    assert sum(shard["rows"] for shard in shards) == 90  # all of the file: the preset takes up to 500 of each split


def test_every_kind_of_extension_has_its_diff():
    text = "".join(DIFFS)
    for path in (
        "conf/data/",
        "conf/prompt/",
        "conf/strategy/",
        "conf/engine/",
        "generation/engines/",
        "conf/reward/",
        "filtering/rewards/",
        "filtering/filters.py",
    ):
        assert f"+++ b/{path}" in text
