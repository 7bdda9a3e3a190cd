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
