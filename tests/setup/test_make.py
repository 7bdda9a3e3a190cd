"""What Make refuses before any stage starts, and what it adds to a stage's output."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def make(*arguments: str) -> subprocess.CompletedProcess:
    """Run make as from a terminal: inside `make test` it would be a submake, which prints the folders it enters."""
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


def dry_run(*arguments: str) -> subprocess.CompletedProcess:
    return make("-n", "iterate", *arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ACCELERATE=ddp"], "PROCESSES= is not a number of processes"),
        (["ACCELERATE=ddp", "PROCESSES=0"], "PROCESSES=0 is not a number"),
        (["ACCELERATE=ddp", "PROCESSES=two"], "PROCESSES=two is not a number"),
        (["PROCESSES=2"], "PROCESSES= needs one of: ddp fsdp2"),
        (["ACCELERATE=dpp", "PROCESSES=2"], "ACCELERATE=dpp is not a file of training/accelerate"),
        (["N=automatic"], "N=automatic is not a number of iterations from 0 to 99, nor auto"),
        (["N=auto", "PATIENCE=0"], "PATIENCE=0 is not a number of iterations from 1 to 99"),
        (["N=auto", "PATIENCE=1 2"], "PATIENCE=1 2 is not a number of iterations"),
        (["N=auto", "PATIENCE="], "PATIENCE= is not a number of iterations"),
        (["N=auto", "MAX=100"], "MAX=100 is not a number of iterations from 0 to 99"),
    ],
)
def test_launches_without_number_or_preset_are_refused(arguments, said):
    done = dry_run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr and done.stdout == ""


def test_what_is_exported_is_the_commands_output_alone():
    done = make("inspect", "RUN=demo", "ARGS=format=csv", "PYTHON=echo")
    assert done.stdout == "-m analysis.inspection run=demo format=csv\n"


def test_launches_meet_on_a_port_of_their_own():
    lines = dry_run("ACCELERATE=ddp", "PROCESSES=2").stdout.splitlines()
    command = next(line for line in lines if "accelerate" in line)
    assert "--num_processes 2 --main_process_port 0 -m training" in command


def test_a_dry_run_of_auto_ends():
    done = dry_run("N=auto", "PATIENCE=2")
    assert done.returncode == 0
    assert done.stdout.count("-m generation run=default iteration=0") == 1 and "iteration=1" not in done.stdout
    assert done.stdout.rstrip().endswith("-m analysis.patience run=default patience=2 max=10")


def test_python_settings_of_others_stay_out(tmp_path):
    makefile = tmp_path / "Makefile"
    makefile.write_text(f"include {ROOT}/Makefile\nshow:\n\t@env | grep ^PYTHON | sort\n")
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": "/x", "PYTHONSAFEPATH": "1", "PYTHONHOME": "/y"}
    done = subprocess.run(["make", "-f", makefile, "show"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout == "PYTHONUNBUFFERED=1\n"
