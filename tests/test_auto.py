"""make iterate N=auto on the deterministic engine: it ends by itself, says why, and at the same iteration where it was
interrupted. A sweep does the same."""

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import Workspace
from tests.generation.background import process_table, processes, until

# Prompts of the question alone: the engine's pieces of them are correct now and then, whatever model it has. With seed
# 4 t2 of six validation questions is 0, 1/6 and 1/6; with seed 6 it is 1/6 and 1/6.
TRAINING = "{question} {initial_answer} $HOME # 'x'"  # goes through every make as it is
SETTINGS = [
    "prompt.initial=[{role:user,content:'{question}'}]",
    "prompt.correction=[{role:user,content:'{question} {initial_answer}'}]",
    f'prompt.training=[{{role:user,content:"{TRAINING}"}}]',
    "training.stop_check.num_prompts=0", "sampling.max_tokens=5", "data.train=4", "data.test=2",
]  # fmt: skip
TRAINED = ("seed=4", "strategy.filter=none")
KEPT = ("seed=4", "strategy.filter=improving", "filter.margin=5")  # no row is kept, so M_n is its base
STOPPED = "stopped after iteration 2: validation t2 has not risen for 1 iteration: 0.0, 16.7, 16.7 %"


def make(place: Workspace, run: str, *variables: str, settings: tuple[str, ...] = TRAINED) -> list[str]:
    given = (shlex.quote(setting).replace("$", "$$") for setting in [*place.settings, *SETTINGS, *settings])
    return ["make", "iterate", "N=auto", f"RUN={run}", "ACCELERATOR=cpu", *variables, f"ARGS={' '.join(given)}"]


def auto(place: Workspace, run: str, *variables: str, **settings: tuple[str, ...]) -> subprocess.CompletedProcess:
    command = make(place, run, *variables, **settings)
    return subprocess.run(command, cwd=place.folder, env=place.environment, capture_output=True, text=True)


def iterations(place: Workspace, run: str) -> list[str]:
    return sorted(path.parent.name for path in place.run(run).glob("iter_*/metrics.json"))


def validation_t2(place: Workspace, run: str) -> list[float]:
    paths = sorted(place.run(run).glob("iter_*/metrics.json"))
    return [json.loads(path.read_bytes())["splits"]["validation"]["t2"] for path in paths]


def last_line(done: subprocess.CompletedProcess) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def stopped(project) -> Workspace:
    """The run `auto`, interrupted in iteration 1, and the same command again."""
    log = project.folder / "auto.log"
    with open(log, "wb") as said:
        process = subprocess.Popen(
            make(project, "auto"), cwd=project.folder, env=project.environment, stdout=said, stderr=said,
            start_new_session=True,
        )  # fmt: skip
    until(lambda: process.poll() is not None or bool(processes(project, "iteration=1")), 120)
    assert process.poll() is None, log.read_text()
    process.terminate()
    assert process.wait(10) == -signal.SIGTERM, log.read_text()
    until(lambda: not processes(project), 10)
    print(process_table(project))
    assert iterations(project, "auto") == ["iter_00"]
    done = auto(project, "auto")
    assert last_line(done) == STOPPED
    assert "\nrun auto\n" in done.stdout and done.stdout.count("run auto\n") == 1  # one summary, before the reason
    return project


def test_it_stops_where_validation_t2_has_not_risen(stopped):
    assert iterations(stopped, "auto") == ["iter_00", "iter_01", "iter_02"]
    assert validation_t2(stopped, "auto") == pytest.approx([0, 1 / 6, 1 / 6])
    config = yaml.safe_load((stopped.run("auto") / "config.yaml").read_text())
    assert config["prompt"]["training"] == [{"role": "user", "content": TRAINING}]


def test_the_same_command_again_changes_nothing_and_says_the_same(stopped):
    def times() -> dict[Path, int]:
        found = stopped.run("auto").glob("iter_*/**/*")
        return {path: path.stat().st_mtime_ns for path in found if path.is_file()}

    before = times()
    assert last_line(auto(stopped, "auto")) == STOPPED
    assert times() == before


def test_a_model_that_is_kept_ends_it_as_well_and_more_patience_goes_on(project):
    assert last_line(auto(project, "kept", settings=KEPT)) == STOPPED
    assert not list(project.run("kept").glob("iter_*/checkpoint/*.safetensors"))
    said = last_line(auto(project, "kept", "PATIENCE=5", "MAX=3", settings=KEPT))
    assert said.startswith(
        "stopped after iteration 3: no more than MAX=3 were asked for; validation t2 0.0, 16.7, 16.7, "
    )
    assert len(iterations(project, "kept")) == 4
    assert last_line(auto(project, "kept", settings=KEPT)) == STOPPED  # what lies after it does not matter
    assert len(iterations(project, "kept")) == 4


def test_a_stage_that_fails_ends_it_with_its_error(project):
    done = auto(project, "empty", settings=(*KEPT, "training.on_empty=stop"))
    assert done.returncode == 2 and "training.on_empty=keep_model" in done.stderr
    assert "stopped after" not in done.stdout and iterations(project, "empty") == ["iter_00"]


def sweep(place: Workspace, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "sweep.py", *place.settings, *SETTINGS, *KEPT[1:], "seed=6", *arguments]
    return subprocess.run(command, cwd=place.folder, env=place.environment, capture_output=True, text=True)


def test_a_run_of_a_sweep_ends_by_itself_and_is_finished_then(project):
    arguments = ("name=selfstop", "iterations=auto")
    done = sweep(project, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(iterations(project, "selfstop")) == 2
    log = project.folder / "runs" / "_sweeps" / "selfstop" / "selfstop.log"
    assert (
        log.read_text().count("stopped after iteration 1: validation t2 has not risen for 1 iteration: 16.7, 16.7 %")
        == 1
    )
    assert sweep(project, *arguments).returncode == 0
    assert log.read_text().count("stopped after") == 1  # only its settings were compared
    more = sweep(project, *arguments, "patience=2", "max_iterations=2")
    assert more.returncode == 0, more.stdout + more.stderr
    assert len(iterations(project, "selfstop")) == 3


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("iterations=some", "iterations='some' was given, a whole number from 0 to 99 was expected"),
        ("patience=0", "patience='0' was given, a whole number from 1 to 99 was expected"),
        ("max_iterations=all", "max_iterations='all' was given"),
    ],
)
def test_a_sweep_refuses_other_numbers_before_any_run(project, argument, said):
    done = sweep(project, argument, "name=refused")
    assert done.returncode == 2 and said in done.stderr, done.stdout + done.stderr
    assert not (project.folder / "runs" / "_sweeps" / "refused").exists()
