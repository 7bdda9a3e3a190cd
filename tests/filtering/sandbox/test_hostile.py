"""Hostile programs: none leaves its sandbox, none passes a test, and the machine is what it was."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from filtering.sandbox import bubblewrap
from filtering.sandbox.bubblewrap import Task, passed
from tests.filtering.sandbox.hostile import PROGRAMS, TESTS, filled, targets

if shutil.which("bwrap") is None:
    pytest.skip("needs bubblewrap: apt-get install bubblewrap", allow_module_level=True)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """What programs aim at, which is there as it was afterwards, when nothing is left of what ran."""
    home, mark = tmp_path / "home", str(tmp_path)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("CANARY", "alive")
    marked = (*bubblewrap.sandbox(), "--setenv", "MARK", mark)
    monkeypatch.setattr(bubblewrap, "sandbox", lambda: marked)
    monkeypatch.setattr(bubblewrap, "SECONDS", 5)  # to do harm; the limit of processor time has a test below
    with targets(home) as aims:
        yield aims
    deadline = time.monotonic() + 10
    while left := running(mark):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def running(mark: str) -> list[str]:
    """The processes that have a mark in their arguments or their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            said = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:  # it has ended
            continue
        if mark.encode() in said and int(folder.name) != os.getpid():
            found.append(folder.name)
    return found


@pytest.mark.parametrize("category", PROGRAMS)
def test_no_hostile_program_passes_a_test_or_harms_the_machine(category, machine):
    for program in PROGRAMS[category]:
        program = filled(program, machine)
        assert passed(program, Task(TESTS, "", ["f"])) == [False] * len(TESTS), program


def test_a_loop_ends_by_the_limit_of_processor_time(monkeypatch):
    monkeypatch.setattr(bubblewrap, "SECONDS", 600)
    assert passed("while True:\n    pass", Task(["assert f(3) == 9"], "", ["f"])) == [False]


def test_the_same_programs_would_pass_without_a_sandbox():
    """The deeds that are harmless are done here: that they are refused in the sandbox is no accident."""
    harmless = [*PROGRAMS["processes"][1:6], *PROGRAMS["threads"][1:], *PROGRAMS["sockets"][3:4], PROGRAMS["memory"][4]]
    for program in harmless:
        code = f"{program}\nprint(f(3))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert "escaped" in done.stdout, (program, done.stderr)


def test_a_python_that_is_reached_through_a_link_runs_programs(tmp_path, monkeypatch):
    """As those that uv installs, whose folders have a link for each minor version."""
    (tmp_path / "python").symlink_to(sys.base_prefix)
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path / "python"))
    bubblewrap.sandbox.cache_clear()
    try:
        assert passed("def f():\n    return 1", Task(["assert f() == 1", "assert f() == 2"], "", ["f"])) == [
            True,
            False,
        ]
    finally:
        bubblewrap.sandbox.cache_clear()
