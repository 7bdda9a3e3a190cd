"""What is said before a run: the samples that it then draws, and no time that was not measured."""

import json
import shutil
import socket
from pathlib import Path

import pytest

from analysis.ahead import Rate, describe
from conf.__main__ import composed
from conf.strategy import samples_per_question
from conf.validation import validate
from generation.plan import read_plan
from generation.progress import num_samples
from store.run import Run
from tests.conftest import Workspace, make_workspace

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
UNKNOWN = "how long is not known: this machine has not yet sampled with this model, engine and max_tokens"


@pytest.fixture
def copy(finished, tiny_model, tmp_path) -> Workspace:
    """A copy of the finished run, two iterations of it."""
    workspace = make_workspace(tmp_path, tiny_model)
    shutil.copytree(finished.folder / "runs", workspace.folder / "runs")
    return workspace


def ahead(workspace: Workspace, run: str, last: str) -> list[str]:
    return workspace.stage("analysis.ahead", f"run={run}", f"last={last}").stdout.splitlines()


@pytest.mark.parametrize(("strategy", "of_later"), [("ENE", 184), ("FNE", 132)])
def test_it_names_the_samples_that_are_drawn_then(copy, strategy, of_later):
    copy.start("new", f"strategy={strategy}", "sampling.max_tokens=7")
    said = ahead(copy, "new", "1")
    copy.stage("generation", "run=new", "iteration=0")
    first = num_samples(read_plan(copy.run("new") / "iter_00"))  # 20 x (2 + 6), and 12 x 2 held out
    assert first == 184
    total = f"{first + of_later:,} samples to draw, of at most 7 tokens each"
    assert said == [f"ahead: iterations 0 to 1: {total}", UNKNOWN]


def test_what_is_there_is_not_ahead_and_the_rate_is_that_of_this_machine(copy):
    assert ahead(copy, "demo", "1") == ["ahead: iterations 0 to 1: no sample is lacking"]
    line, estimate = ahead(copy, "demo", "2")
    folder = copy.run("demo") / "iter_01" / "stats"
    (path,) = folder.glob(f"generation-{socket.gethostname()}-*.json")
    costs = json.loads(path.read_text())
    rate = costs["requests"] / costs["seconds"]
    assert estimate.startswith("an estimate: about ") and f"at the {rate:,.1f} samples/s of demo/iter_01 " in estimate
    for other in copy.run("demo").glob("iter_*/stats/generation-*"):
        other.rename(other.with_name("generation-elsewhere-1.json"))
    assert ahead(copy, "demo", "2") == [line, UNKNOWN]


def test_a_damaged_record_of_another_run_stops_nothing(copy):
    copy.start("new")
    for other in copy.run("demo").glob("iter_*/stats/generation-*"):
        other.write_bytes(b"{")
    assert ahead(copy, "new", "0")[1] == UNKNOWN


def test_seconds_and_tokens_follow_from_the_rate():
    said = describe({0: 0, 1: 300}, 32, Rate("demo/iter_00", 15.0, 8.0))[1]
    assert "about 2,400 tokens and 20 s of a worker, at the 15.0 samples/s of demo/iter_00 on this machine" in said


def test_the_readme_shows_what_the_default_run_says():
    config = validate(composed(Run("default"), ["device=cpu"]))
    questions = {"train": config.data.train, "validation": config.data.validation, "test": config.data.test}
    sizes = {split: samples_per_question(config, split) for split in questions}
    drawn = sum(count * (s.num_initial + s.num_initial * s.num_corrections)
                for count, s in zip(questions.values(), sizes.values(), strict=True))  # fmt: skip
    for line in describe({0: drawn, 1: drawn}, config.sampling.max_tokens, None):
        assert f"\n    {line}\n" in README
