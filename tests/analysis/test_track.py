"""A run is told to its tracker once, whatever happened before: kills, restarts, iterations made again."""

import json
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from analysis.track.__main__ import tracked_as
from conf.stored import load
from conf.tracking import PACKAGES
from store.run import Run
from tests.analysis.trackers import READERS
from tests.conftest import Workspace, make_workspace

MISSING = [kind for kind, packages in PACKAGES.items() if not all(map(find_spec, packages))]


@pytest.fixture
def tracked(finished, tiny_model, tmp_path) -> Workspace:
    """A copy of the finished run, whose settings were final before it had a tracker."""
    workspace = make_workspace(tmp_path, tiny_model)
    shutil.copytree(finished.folder / "runs", workspace.folder / "runs")
    return workspace


def expected(run: Path) -> dict[tuple[str, int], float]:
    """Every figure that the tracker should have, from the stages' own files."""
    found: dict[tuple[str, int], float] = {}
    steps = 0
    for number in (0, 1):
        folder = run / f"iter_{number:02d}"
        for split, figures in json.loads((folder / "metrics.json").read_text())["splits"].items():
            for name in ("t1", "t2", "delta", "copy_rate"):
                found[f"{split}/{name}", number] = figures[name]
            found[f"{split}/i_to_c", number] = figures["transitions"]["i->c"]["rate"]
            found[f"{split}/correction_tokens", number] = figures["num_correction_tokens"]
            if split == "train":
                found["train/kept_rows", number] = figures["num_kept"]
        found["seconds/filtering", number] = json.loads((folder / "stats" / "filtering.json").read_text())["seconds"]
    training = json.loads((run / "iter_01" / "stats" / "training.json").read_text())
    for entry in training["log"]:
        found["training/loss", steps + entry["step"]] = entry["loss"]
    return found


@pytest.mark.parametrize("kind", READERS)
def test_a_run_that_goes_on_has_every_figure_once(tracked, kind):
    if kind in MISSING:
        pytest.skip(f"{', '.join(PACKAGES[kind].values())}: not installed, no lock has it")
    run, later = tracked.run("demo"), tracked.folder / "iter_01"
    tracked.stage("conf", "run=demo", f"tracking={kind}")
    (run / "iter_01").rename(later)
    assert "so far: 1;" in tracked.stage("analysis.track", "run=demo").stdout
    shutil.copytree(later, run / "iter_01")
    for _ in range(2):
        assert "so far: 2;" in tracked.stage("analysis.track", "run=demo").stdout
    points = READERS[kind](run / "tracking" / kind)
    told = {(name, step): value for name, step, value in points}
    assert len(told) == len(points), "something is there twice"
    wanted = expected(run)
    assert {key: told[key] for key in wanted} == pytest.approx(wanted, rel=1e-6)  # TensorBoard keeps 32 bits
    assert {step for name, step in told if name.startswith("test/")} == {0, 1}


def test_what_a_kill_leaves_is_mended(tracked):
    tracked.stage("conf", "run=demo", "tracking=tensorboard")
    tracked.stage("analysis.track", "run=demo")
    folder = tracked.run("demo") / "tracking" / "tensorboard"
    whole = sorted(READERS["tensorboard"](folder))
    lost, *_ = sorted(folder.glob("*tfevents*"))
    lost.unlink()
    (folder / f".{lost.name}.0.tmp").write_bytes(b"half")
    (folder / "events.out.tfevents.0000000007.stasc").write_bytes(b"of an iteration that was taken back")
    tracked.stage("analysis.track", "run=demo")
    assert sorted(READERS["tensorboard"](folder)) == whole
    assert len(list(folder.iterdir())) == 2


def test_a_run_without_a_tracker_is_left_alone(tracked):
    assert tracked.stage("analysis.track", "run=demo").stdout == ""
    assert not (tracked.run("demo") / "tracking").exists()


def test_an_older_run_has_no_tracker(tracked):
    path = tracked.run("demo") / "_execution.yaml"
    execution = yaml.safe_load(path.read_text())
    del execution["tracking"]
    path.write_text(yaml.safe_dump(execution))
    assert load(Run("demo", tracked.folder / "runs")).tracking.kind == "none"


def test_an_iteration_made_again_is_told_under_another_name(tracked):
    run = Run("demo", tracked.folder / "runs")
    first = tracked_as(run, "mlflow", ["a"])
    assert first.startswith("demo-") and tracked_as(run, "mlflow", ["a", "b"]) == first
    assert tracked_as(run, "mlflow", ["a"]) != first, "iteration 1 is gone, and is told as b"
    assert tracked_as(run, "mlflow", ["a", "c"]) != first


def test_a_tracker_without_its_library_is_refused_before_anything_is_made(workspace):
    if not MISSING:
        pytest.skip("every tracker's library is installed")
    kind = MISSING[0]
    done = workspace.stage("conf", "run=new", *workspace.settings, f"tracking={kind}", check=False)
    assert done.returncode == 2
    assert " ".join(PACKAGES[kind].values()) in done.stderr and "pip install -c .venv/pins.txt " in done.stderr
    assert not workspace.run("new").exists()


def test_a_tracker_that_fails_says_that_the_run_is_whole(tracked):
    tracked.stage("conf", "run=demo", "tracking=tensorboard")
    (tracked.run("demo") / "tracking").mkdir()
    (tracked.run("demo") / "tracking" / "tensorboard").write_text("in the way")
    done = tracked.stage("analysis.track", "run=demo", check=False)
    assert done.returncode == 74 and "tensorboard" in done.stderr


def test_make_tells_only_the_tracker_of_a_run_that_has_one(project):
    for kind, told in (("none", False), ("tensorboard", True)):
        folder = project.run(kind)
        folder.mkdir(parents=True)
        (folder / "_execution.yaml").write_text(f"launcher:\n  kind: local\ntracking:\n  kind: {kind}\n")
        command = ["make", "-n", "iterate", "N=1", f"RUN={kind}", "ACCELERATOR=cpu"]
        printed = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=True).stdout
        assert (printed.count(f"-m analysis.track run={kind}\n") == 2) is told
