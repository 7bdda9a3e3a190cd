"""Hostile programs: none leaves its sandbox, none passes a test, and the machine is what it was."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from filtering.sandbox import bubblewrap
from filtering.sandbox.bubblewrap import Task, passed
from tests.conftest import ROOT
from tests.filtering.sandbox.hostile import PROGRAMS, TESTS

if shutil.which("bwrap") is None:
    pytest.skip("needs bubblewrap: apt-get install bubblewrap", allow_module_level=True)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """What programs aim at, {placeholder: value}: a home folder, a server, a process. Afterwards all of them are there
    as they were, and nothing is left of what ran."""
    home, mark = tmp_path / "home", str(tmp_path)
    home.mkdir()
    (home / "canary").write_text("alive")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("CANARY", "alive")
    marked = (*bubblewrap.sandbox(), "--setenv", "MARK", mark)
    monkeypatch.setattr(bubblewrap, "sandbox", lambda: marked)
    monkeypatch.setattr(bubblewrap, "SECONDS", 20)
    with socket.create_server(("127.0.0.1", 0)) as server, subprocess.Popen(["sleep", "600"]) as process:
        server.setblocking(False)
        yield {"home": home, "port": server.getsockname()[1], "pid": process.pid, "repository": ROOT}
        with pytest.raises(BlockingIOError):
            server.accept()
        assert Path(f"/proc/{process.pid}/stat").read_text().split()[2] == "S"
        process.kill()
    assert [path.name for path in home.iterdir()] == ["canary"] and (home / "canary").read_text() == "alive"
    assert not any(map(os.path.lexists, ("/stasc-x", "/tmp/stasc-x", "/usr/stasc-x")))
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
        for name, value in machine.items():
            program = program.replace(f"{{{name}}}", str(value))
        assert passed(program, Task(TESTS, "", ["f"])) == [False] * len(TESTS), program


def test_the_same_programs_would_pass_without_a_sandbox():
    """The deeds that are harmless are done here: that they are refused in the sandbox is no accident."""
    harmless = [*PROGRAMS["processes"][1:6], *PROGRAMS["threads"][1:], *PROGRAMS["sockets"][3:4], PROGRAMS["memory"][4]]
    for program in harmless:
        code = f"{program}\nprint(f(3))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert "escaped" in done.stdout, (program, done.stderr)
