"""Sweeps whose runs are jobs at once, by each of Hydra's launchers that the lock has. Slurm itself is not here: a
stand-in for its commands starts what it is given, on this machine."""

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import Workspace
from tests.sweeping import generated_tokens, sweep

AXES = ["name=several", "sampling.num_initial=1,2", "iterations=0"]
RUNS = ["several-i1", "several-i2"]
SBATCH = """#!/bin/sh
copy="$(dirname "$0")/submitted" # as Slurm makes one: submitit moves the script away
cp "$1" "$copy"
for task in 0 1; do
    SLURM_JOB_ID=7 SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$task SLURM_NTASKS=1 SLURM_PROCID=0 SLURM_LOCALID=0 \\
    SLURM_NODEID=0 SLURM_JOB_NUM_NODES=1 SLURM_JOB_NODELIST=here bash "$copy" >/dev/null 2>&1 &
done
echo Submitted batch job 7
"""
SRUN = """#!/bin/sh
[ "$1 $2 $4" = "--unbuffered --output --error" ] && shift 5 && exec "$@"
"""


@pytest.fixture(scope="module")
def several(project) -> tuple[Workspace, str]:
    """A sweep of two runs at once, from a pool that neither found; and what it said."""
    arguments = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "gpus_per_run=1"]
    done = sweep(project, *AXES, *arguments, CUDA_VISIBLE_DEVICES="3,5")
    assert done.returncode == 0, done.stdout + done.stderr
    return project, done.stdout


def results(workspace: Workspace) -> dict[str, dict]:
    folder = workspace.folder / "runs" / "_sweeps" / "several" / "runs"
    return {path.stem: json.loads(path.read_bytes()) for path in folder.glob("*.json")}


def again(several: tuple[Workspace, str], *arguments: str, **environment: str) -> None:
    """The sweep without one of its runs comes to the same by another launcher."""
    workspace, said = several
    shutil.rmtree(workspace.run("several-i1"))
    for path in (workspace.folder / "runs" / "_sweeps" / "several" / "runs").glob("*.json"):
        path.unlink()
    done = sweep(workspace, *AXES, *arguments, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.partition("run  ")[2] == said.partition("run  ")[2]
    assert generated_tokens(workspace, "several-i1") == 0
    assert {name: result["exit_code"] for name, result in results(workspace).items()} == dict.fromkeys(RUNS, 0)


def test_joblib_gives_each_run_a_gpu_and_all_one_pool(several):
    workspace, _ = several
    assert {name: result["exit_code"] for name, result in results(workspace).items()} == dict.fromkeys(RUNS, 0)
    assert {result["gpus"] for result in results(workspace).values()} == {"3", "5"}
    assert [generated_tokens(workspace, name) for name in RUNS] == [0, 0]
    workers = list((workspace.run("several.pool") / "iter_00" / "stats").glob("generation-*.json"))
    assert len(workers) == 1 and generated_tokens(workspace, "several.pool") > 0


def test_submitit_local_shares_the_gpus_of_the_sweep(several):
    again(several, "hydra/launcher=submitit_local", "gpus_per_run=1", CUDA_VISIBLE_DEVICES="3,5")
    assert {result["gpus"] for result in results(several[0]).values()} == {"3", "5"}


def test_submitit_slurm_submits_an_array_that_may_take_hours(several, tmp_path):
    for name, script in {"sbatch": SBATCH, "srun": SRUN}.items():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{several[0].environment['PATH']}"
    asks = ["hydra.launcher.partition=gpu", "hydra.launcher.gpus_per_node=1", "hydra.launcher.cpus_per_task=8"]
    again(several, "hydra/launcher=submitit_slurm", *asks, PATH=path)
    submitted = (tmp_path / "submitted").read_text().splitlines()
    asked = {"array=0-1%2", "time=240", "partition=gpu", "gpus-per-node=1", "cpus-per-task=8"}
    assert {f"#SBATCH --{flag}" for flag in asked} <= set(submitted)


def test_runs_that_are_given_no_gpu_and_jobs_that_never_began_are_named(several):
    workspace, _ = several
    done = sweep(workspace, "name=none", "sampling.num_initial=1,2", "gpus_per_run=1", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    for name in ("none-i1", "none-i2"):
        log = Path("runs", "_sweeps", "none", f"{name}.log")
        assert f"failed: {name}, see {log}" in done.stderr
        assert "gpus_per_run=1, but 0 GPUs are visible" in (workspace.folder / log).read_text()
    done = sweep(workspace, *AXES, "--multirun", "hydra/launcher=jobblib")  # finished runs, and yet a failure
    assert done.returncode == 1 and "Could not find 'hydra/launcher/jobblib'" in done.stderr
    done = sweep(workspace, "name=lost", "sampling.num_initial=1,2", "hydra/launcher=jobblib")
    assert "failed: lost-i2, it has no result" in done.stderr
