"""Filtering in several processes: the same bytes and errors as in one, and no process that outlives the stage."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from filtering.__main__ import filter_iteration
from filtering.filters import Options
from filtering.source import Source
from filtering.workers import PAIRS_PER_PROCESS, num_processes
from store.errors import CorruptArtifact
from tests.conftest import make_workspace
from tests.filtering.hand_made import HELD_OUT, NUM_CORRECTIONS, SETTINGS, TRAIN, files

FILTERING = [sys.executable, "-m", "filtering", "run=demo", "iteration=0"]
BOUNDED = replace(SETTINGS, options=Options(max_per_question=2, max_copy_share=0.2), compat=["cross_pairing"])


@pytest.mark.parametrize("settings", [SETTINGS, BOUNDED])
def test_any_number_of_processes_leaves_the_same_bytes(make_run, settings):
    found = []
    for processes in (1, 2, 5):  # of four shards
        run = make_run({"train": TRAIN, "test": HELD_OUT}, shard_size=1, name=f"in-{processes}")
        filter_iteration(Source(run, 0, NUM_CORRECTIONS), settings, 0, processes)
        found.append(files(run))
    assert found[0] == found[1] == found[2]
    assert len(found[0]) > 15


def test_an_error_is_that_of_the_first_shard_that_has_one(make_run):
    run = make_run({"train": TRAIN, "test": HELD_OUT}, shard_size=1)
    for path in sorted(run.iteration(0).corrections.glob("train-*.parquet"))[1:]:
        content = bytearray(path.read_bytes())
        content[100] ^= 1
        path.write_bytes(content)
    said = []
    for processes in (1, 3):
        with pytest.raises(CorruptArtifact, match=r"/train-00001-of-00003.parquet .*do not match") as error:
            filter_iteration(Source(run, 0, NUM_CORRECTIONS), SETTINGS, 0, processes)
        said.append(str(error.value))
    assert said[0] == said[1]


def test_small_runs_take_one_process_and_others_one_per_core():
    cores = len(os.sched_getaffinity(0))
    assert num_processes(0, 0) == num_processes(0, 2 * PAIRS_PER_PROCESS - 1) == 1
    assert num_processes(0, 10**9) == cores
    assert num_processes(3, 0) == 3


@pytest.fixture(scope="module")
def generated(tmp_path_factory, tiny_model):
    workspace = make_workspace(tmp_path_factory.mktemp("processes"), tiny_model)
    workspace.start("demo", "launcher.filter_processes=2")
    workspace.quick_stage("generation", "run=demo", "iteration=0")
    return workspace


@pytest.fixture
def stage(generated, tmp_path):
    """A filtering stage whose two workers are stopped amid their work, their process ids, and what the stage says."""
    shutil.copytree(generated.folder / "runs", tmp_path / "runs")
    said = tmp_path / "said"  # a file: a pipe ends with the last process that holds it, and these are stopped
    with open(said, "wb") as output:
        process = subprocess.Popen(FILTERING, cwd=tmp_path, env=generated.environment, stderr=output)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers: set[int] = set()
    deadline = time.monotonic() + 60
    while len(workers) < 2:
        assert process.poll() is None and time.monotonic() < deadline, said.read_text()
        for pid in map(int, children.read_text().split()):
            if pid not in workers and is_loading(pid):
                os.kill(pid, signal.SIGSTOP)
                workers.add(pid)
        time.sleep(0.005)
    yield process, sorted(workers), said
    process.kill()
    process.wait()
    for pid in filter(alive, workers):
        os.kill(pid, signal.SIGKILL)


def is_loading(pid: int) -> bool:
    """Whether a worker is amid its start, half a second in which it imports what it has been sent."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes()  # its parent's until it runs a program of its own
    return b"multiprocessing.spawn" in command and "libarrow" in Path(f"/proc/{pid}/maps").read_text()


def go_on(pids: list[int]) -> None:
    for pid in filter(alive, pids):
        os.kill(pid, signal.SIGCONT)


def gone(pids: list[int]) -> bool:
    """Whether these processes end within ten seconds."""
    deadline = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(alive, pids))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_ends_is_told_and_the_command_may_be_tried_again(stage, signum):
    process, workers, said = stage
    os.kill(workers[1], signum)
    go_on(workers)
    assert process.wait(30) == 75
    told = said.read_text()
    assert "a process of filtering ended before its work" in told and "launcher.filter_processes=1" in told
    assert "Traceback" not in told
    assert gone(workers)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stage_that_is_stopped_takes_its_workers_with_it(stage, signum, code):
    process, workers, said = stage
    process.send_signal(signum)
    assert process.wait(10) == code
    assert "run the same command again" in said.read_text()
    assert gone(workers)


def test_workers_die_with_a_stage_that_is_killed(stage):
    process, workers, _ = stage
    process.kill()
    process.wait()
    go_on(workers)
    assert gone(workers)


def test_a_full_disk_is_told_as_from_one_process(generated, tmp_path):
    said = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        shutil.copytree(generated.folder / "runs", folder / "runs")
        execution = folder / "runs" / "demo" / "_execution.yaml"
        execution.write_text(execution.read_text().replace("filter_processes: 2", f"filter_processes: {processes}"))
        done = subprocess.run(
            FILTERING, cwd=folder, env=generated.environment, capture_output=True, text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),  # less than a shard
        )  # fmt: skip
        assert done.returncode == 74
        assert not list(folder.rglob("*.tmp"))
        said.append(done.stderr.partition(".parquet.")[0])
    assert said[0] == said[1] and "trajectories/.train-00000" in said[0]
