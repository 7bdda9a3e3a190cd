"""make is stopped as `timeout`, Ctrl-C, CI systems and the kernel stop it: nothing of it is left, and it goes on."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.generation.background import num_published, process_table, processes, until

# Some fifteen steps of 0.3 s: stopped in the middle, ended soon by the same command.
SLOW = ["+engine.args.step_seconds=0.3", "engine.throughput.max_num_seqs=4", "data.train=4", "data.validation=3",
        "data.test=3", "launcher.shard_questions=2"]  # fmt: skip
ENDINGS: dict[str, tuple[list[str], Callable[[subprocess.Popen], None], int]] = {  # command before, signal, exit code
    "SIGTERM of make": ([], lambda process: process.terminate(), -signal.SIGTERM),
    "SIGKILL of make": ([], lambda process: process.kill(), -signal.SIGKILL),
    "Ctrl-C": ([], lambda process: os.killpg(process.pid, signal.SIGINT), -signal.SIGINT),
    "timeout": (["timeout", "600"], lambda process: process.send_signal(signal.SIGALRM), 124),  # its time is up
}


def start_make(place, log: Path, *command: str, settings=()) -> subprocess.Popen:
    arguments = [*command, f"ARGS={' '.join([*place.settings, *SLOW, *settings])}"]
    with open(log, "wb") as said:
        return subprocess.Popen(
            arguments, cwd=place.folder, env=place.environment, stdout=said, stderr=said, start_new_session=True
        )


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_outlives_a_stopped_make_and_it_goes_on(project, ending):
    before, stop, code = ENDINGS[ending]
    run, log = ending.replace(" ", "-"), project.folder / "make.log"
    command = [*before, "make", "iterate", "N=0", f"RUN={run}", "ACCELERATOR=cpu"]
    process = start_make(project, log, *command)
    until(lambda: process.poll() is not None or num_published(project, run) > 0)
    print(f"before {ending}:\n{process_table(project)}")
    assert processes(project, "generation.worker"), log.read_text()
    started = time.monotonic()
    stop(process)
    assert process.wait(10) == code, log.read_text()
    until(lambda: not processes(project), 10)
    print(f"{time.monotonic() - started:.1f} s after it:\n{process_table(project)}")
    assert "stopped; run the same command again to go on" in log.read_text()
    assert start_make(project, log, *command).wait(120) == 0, log.read_text()


@pytest.mark.parametrize(
    ("given", "device"),
    [
        ([], "device=$(.venv/bin/python -m store.machine $(cat .venv/.accelerator))"),
        (["ARGS=seed=1 device=cuda"], "device=cuda"),
        (["LIKE=other"], ""),
    ],
)
def test_a_new_run_takes_the_device_of_the_machine_unless_it_is_given_one(project, given, device):
    command = ["make", "-n", "iterate", "N=0", "RUN=never-made", *given]
    done = subprocess.run(command, cwd=project.folder, env=project.environment, capture_output=True, text=True)
    line = next(line for line in done.stdout.splitlines() if "-m conf run=never-made" in line)
    assert line.count("device=") == bool(device) and device in line, line


@pytest.mark.nightly
@pytest.mark.parametrize("victim", ["make", "accelerate.commands.launch"])
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_of_training_outlives_what_launched_it(project, victim, signum):
    """Two processes that train for hours, under accelerate launch under make."""
    run, log = f"trained-{signum.name}-{victim}", project.folder / "make.log"
    settings = ["strategy.filter=none", "training.num_epochs=10000", "training.stop_check.num_prompts=0",
                "training.throughput.save_strategy=steps", "+training.throughput.save_steps=5"]  # fmt: skip
    project.start(run, *SLOW, *settings, "engine.args.step_seconds=0")
    for stage in ("generation", "filtering"):
        project.stage(stage, f"run={run}", "iteration=0")
    command = ["make", "train-1", f"RUN={run}", "ACCELERATOR=cpu", "ACCELERATE=ddp", "PROCESSES=2"]
    process = start_make(project, log, *command, settings=[*settings, "engine.args.step_seconds=0"])
    until(lambda: process.poll() is not None or any((project.run(run) / "iter_01").rglob("checkpoint-*")), 180)
    print(f"before:\n{process_table(project)}")
    assert len(processes(project, "training\0run=")) >= 2, log.read_text()
    os.kill(process.pid if victim == "make" else processes(project, victim)[0], signum)
    assert process.wait(10) != 0, log.read_text()
    try:
        until(lambda: not processes(project), 10)
    finally:
        print(f"after {signum.name} of {victim}:\n{process_table(project)}")
