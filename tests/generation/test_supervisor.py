"""What a worker started ends with it, and a worker whose engine has started is started again when it dies."""

import sys
import time

import pytest

from generation.launchers import supervisor
from generation.launchers.supervisor import Supervisor, WorkerFailed
from generation.progress import Progress

# A worker that leaves a process behind, as vLLM's engine core is left by an exit without finalizers.
WORKER = """
import json, os, subprocess, sys
arguments = dict(word.split("=") for word in sys.argv[1:])
def emit(**event): os.write(int(arguments["events"]), json.dumps(event).encode() + b"\\n")
child = subprocess.Popen(["sleep", "600"])
print("child", child.pid, flush=True)
"""
STARTED = "emit(event='engine', seconds=0)\n"


@pytest.fixture
def supervise(tmp_path, monkeypatch):
    """A function that runs such a worker under a supervisor; returns what its workers left in their log."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)

    def run(end: str) -> str:
        log = tmp_path / "generation-0.log"
        try:
            command = [sys.executable, "-c", WORKER + end]
            Supervisor(command, [0], 1, max_restarts=2, logs=tmp_path).run(Progress("test", 1))
        finally:
            for line in log.read_text().splitlines():
                if line.startswith("child"):
                    state = ended(int(line.split()[1]))
                    assert state, line
        return log.read_text()

    return run


def ended(pid: int) -> bool:
    """Whether a process is gone or only waits to be waited for, a moment after it was killed."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
    return False


@pytest.mark.parametrize("end", ["os._exit(0)", STARTED + "os._exit(0)"])
def test_a_worker_that_is_done_leaves_no_process(supervise, end):
    assert supervise(end).count("child") == 1


@pytest.mark.parametrize("end", ["os._exit(1)", "os.kill(os.getpid(), 9)", "sys.exit('ValueError: no')"])
def test_only_an_engine_that_had_started_is_started_again(supervise, tmp_path, end):
    log = tmp_path / "generation-0.log"
    with pytest.raises(WorkerFailed) as never_started:
        supervise(end)
    assert never_started.value.exit_code in (2, 8)
    assert log.read_text().count("child") == 1
    log.unlink()
    with pytest.raises(WorkerFailed, match="the engine died 3 times") as died:
        supervise(STARTED + end)
    assert died.value.exit_code == 75
    assert log.read_text().count("child") == 3


def test_a_start_that_fails_after_a_good_one_is_tried_again(supervise, tmp_path):
    flag = tmp_path / "started"
    first = (
        f"if not os.path.exists({str(flag)!r}):\n"
        f"    open({str(flag)!r}, 'w')\n"
        f"    {STARTED}"
        "    os.kill(os.getpid(), 9)\n"
    )
    with pytest.raises(WorkerFailed, match=r"the engine died 3 times \(RuntimeError: GPU memory is not free yet"):
        supervise(first + "raise RuntimeError('GPU memory is not free yet')")


def test_a_worker_is_reaped_after_its_group(monkeypatch, supervise):
    """Its id must still be that of the group when the group is killed."""
    seen = []
    kill = supervisor.signal_group
    monkeypatch.setattr(
        supervisor, "signal_group", lambda process, signum: (seen.append(process.returncode), kill(process, signum))
    )
    supervise("os._exit(0)")
    assert seen == [None]
