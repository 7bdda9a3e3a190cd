"""The stage in several processes, as `make ACCELERATE=... PROCESSES=2` launches them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.training.runs import publish_rows, train

ACCELERATE = ["accelerate.commands.launch", "--num_processes", "2", "--config_file"]
LAUNCH_PRESETS = ROOT / "training" / "accelerate"


@pytest.mark.parametrize(
    "launch",
    [
        [*ACCELERATE, str(LAUNCH_PRESETS / "ddp.yaml"), "-m", "training"],
        [*ACCELERATE, str(LAUNCH_PRESETS / "fsdp2.yaml"), str(Path(__file__).parent / "fsdp_on_cpu.py")],
    ],
    ids=["ddp", "fsdp2"],
)
def test_two_processes_train_the_same_rows_to_the_same_losses_and_weights(make_run, make_rows, launch):
    from safetensors.torch import load_file

    rows = make_rows(21)  # the last batch has 5 rows: 3 are filled up
    alone, shared = make_run(name="alone"), make_run(name="shared")
    for run in (alone, shared):
        publish_rows(run, 0, rows)
    train(alone)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *launch, "run=shared", "iteration=1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "not sharded" not in done.stderr
    costs = [json.loads((run.iteration(1).stats / "training.json").read_text()) for run in (alone, shared)]
    assert [c["processes"] for c in costs] == [1, 2]
    losses = [[entry["loss"] for entry in c["log"]] for c in costs]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert costs[1]["trained_tokens"] == costs[0]["trained_tokens"]
    ours, theirs = (load_file(run.iteration(1).checkpoint / "model.safetensors") for run in (alone, shared))
    for name, tensor in ours.items():
        assert (tensor - theirs[name]).abs().max() < 1e-4, name
