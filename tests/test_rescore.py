"""A run that scores another run's samples: nothing is generated, and everything that reads a run works on it."""

import json
import shutil

import pytest

from store.run import Run
from store.shards import read_manifest
from tests.conftest import Workspace, make_workspace

SCORING = ("reward=token_f1", "reward.threshold=0.4", "filter.margin=0.1", "strategy.filter=improving")


def rescore(workspace: Workspace, run: str, source: str, *overrides: str) -> None:
    """What `make rescore` runs."""
    workspace.quick_stage("conf", f"run={run}", f"like={source}", f"samples_of={source}", *overrides)
    for n in (0, 1):
        workspace.quick_stage("filtering", f"run={run}", f"iteration={n}")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, tiny_model, finished) -> Workspace:
    workspace = make_workspace(tmp_path_factory.mktemp("rescore"), tiny_model)
    shutil.copytree(finished.folder / "runs", workspace.folder / "runs")
    rescore(workspace, "f1", "demo", *SCORING)
    return workspace


def runs(workspace: Workspace) -> tuple[Run, Run]:
    return Run("demo", workspace.folder / "runs"), Run("f1", workspace.folder / "runs")


def metrics(run: Run, iteration: int) -> dict:
    return json.loads(run.iteration(iteration).metrics.read_bytes())


def test_nothing_is_generated_and_the_parents_are_the_other_runs_tables(workspace):
    demo, f1 = runs(workspace)
    for n in (0, 1):
        assert sorted(path.name for path in f1.iteration(n).dir.iterdir() ) == [
            "metrics.json", "sft", "stats", "trajectories",
        ]  # fmt: skip
        theirs, ours = (read_manifest(run.iteration(n).trajectories) for run in (demo, f1))
        assert ours.parents == theirs.parents
        assert ours.parents["corrections"] == read_manifest(demo.iteration(n).corrections).digest
    costs = [json.loads(path.read_text()) for path in f1.dir.rglob("stats/*.json")]
    assert len(costs) == 2
    assert not [cost for cost in costs if "generated_tokens" in cost]


def test_the_same_samples_get_the_new_rewards_and_filter(workspace):
    demo, f1 = runs(workspace)
    theirs, ours = metrics(demo, 1), metrics(f1, 1)
    assert (ours["reward"], ours["threshold"]) == ("token_f1", 0.4)
    assert (ours["filter"]["name"], ours["filter"]["margin"]) == ("improving", 0.1)
    for split, found in ours["splits"].items():
        assert found["num_pairs"] == theirs["splits"][split]["num_pairs"]
        name = "correction_token_f1"  # computed by both, chosen by one
        assert found["mean_rewards"][name] == theirs["splits"][split]["mean_rewards"][name]
    assert 0 < ours["splits"]["train"]["num_kept"] < theirs["splits"]["train"]["num_kept"]


def test_scoring_with_the_same_settings_gives_the_same_tables(workspace):
    demo, _ = runs(workspace)
    rescore(workspace, "same", "demo")
    for stage in ("trajectories", "sft"):
        folder = Run("same", demo.root).iteration(1).dir / stage
        assert read_manifest(folder) == read_manifest(demo.iteration(1).dir / stage)


@pytest.mark.parametrize("command", ["data", "training.base_model", "generation iteration=0", "training iteration=1"])
def test_stages_that_would_make_samples_refuse_it(workspace, command):
    module, *arguments = command.split()
    done = workspace.quick_stage(module, "run=f1", *arguments, check=False)
    assert done.returncode == 2, done.stderr
    assert "scores the samples of demo and has none of its own: `make rescore FROM=demo RUN=f1`" in done.stderr


SHOWING = ("analysis", "analysis.report", "analysis.cards", "analysis.inspection")


@pytest.fixture(scope="module")
def shown(workspace) -> dict[str, str]:
    """What each command that shows a run says of it."""
    return {module: workspace.stage(module, "run=f1").stdout for module in SHOWING}


def test_what_shows_a_run_shows_it_too(workspace, shown):
    assert all(shown.values()), shown
    assert "f1" in workspace.stage("analysis.status").stdout
    assert "demo" in workspace.stage("analysis.status", "run=f1").stdout.splitlines()[-1]


def test_its_report_tells_the_command_that_makes_it(workspace, shown):
    html = (workspace.run("f1") / "report.html").read_text()
    assert "make rescore FROM=demo RUN=f1 ARGS=" in html
    assert "samples of" in html


def test_verification_walks_to_the_samples(workspace, tmp_path):
    copy = Workspace(tmp_path, [])
    shutil.copytree(workspace.folder / "runs", tmp_path / "runs")
    assert "every file is as it was written" in copy.stage("analysis.verify", "run=f1").stdout
    demo, _ = runs(copy)
    shard = next(demo.iteration(1).corrections.glob("train-*.parquet"))
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    damaged = copy.stage("analysis.verify", "run=f1", check=False)
    assert damaged.returncode == 5
    assert f"{shard.relative_to(tmp_path)} cannot be used" in damaged.stderr


def test_settings_that_decide_samples_are_refused(workspace):
    done = workspace.stage(
        "conf", "run=more", "like=demo", "samples_of=demo", "sampling.num_initial=1", "seed=3", check=False
    )
    assert done.returncode == 3
    assert "sampling.num_initial: 2 -> 1" in done.stderr and "seed: 0 -> 3" in done.stderr
    again = workspace.stage("conf", "run=more", "like=f1", "samples_of=f1", check=False)
    assert again.returncode == 2
    assert "scores the samples of demo" in again.stderr
    assert not workspace.run("more").exists()
