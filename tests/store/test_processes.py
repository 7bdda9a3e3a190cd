"""A guarded process group ends with its leader, whatever way the leader ends."""

import os
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT

LEADER = """
import faulthandler, os, subprocess, sys, time
from store.processes import start_guard
start_guard()
child = subprocess.Popen(["sleep", "600"])  # as a library's process: looks for no parent
guards = f"/proc/{os.getpid()}/task/{os.getpid()}/children"
while not any(b"store.processes" in open(f"/proc/{pid}/cmdline", "rb").read() for pid in open(guards).read().split()):
    time.sleep(0.01)
time.sleep(0.5)
print(child.pid, flush=True)
"""
ENDS = {
    "exit code 0": "os._exit(0)",
    "the watchdog": "faulthandler.dump_traceback_later(0.1, exit=True); time.sleep(600)",
    "SIGKILL": "os.kill(os.getpid(), 9)",
    "SIGTERM of the group": "os.killpg(0, 15); time.sleep(600)",
}


def start(end: str, **kwargs) -> tuple[subprocess.Popen, int]:
    """A leader and the id of its child."""
    leader = subprocess.Popen(
        [sys.executable, "-c", LEADER + end], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **kwargs,
    )  # fmt: skip
    return leader, int(leader.stdout.readline())


def group(leader: int) -> list[str]:
    """The processes of a group, as `ps` prints them, without those that only wait to be waited for."""
    table = subprocess.run(["ps", "-e", "-ww", "-o", "pgid=,pid=,ppid=,stat=,args="], capture_output=True, text=True)
    lines = [line.split(maxsplit=4) for line in table.stdout.splitlines()]
    return [" ".join(line) for line in lines if line[0] == str(leader) and line[3][0] != "Z"]


@pytest.mark.parametrize("end", ENDS)
def test_no_process_of_a_guarded_group_is_left(end):
    leader, _ = start(ENDS[end], start_new_session=True)
    leader.wait(10)
    deadline = time.monotonic() + 10
    while (left := group(leader.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left


def test_a_group_that_is_somebody_elses_gets_no_guard():
    """A worker that is started by hand shares its group with what stands beside it in a pipeline."""
    code = (
        "import subprocess, sys\n"
        "worker = 'from store.processes import start_guard; start_guard()'\n"
        "subprocess.run([sys.executable, '-c', worker], check=True)\n"
        "print(flush=True)\n"
        "sys.stdin.read(1)"
    )
    leader = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert leader.stdout.readline()
    assert len(group(leader.pid)) == 1
    leader.communicate(b"x", timeout=10)
    assert leader.returncode == 0
