"""Sweeps in a workspace that has the Makefile and the rooms: the fixture `project`."""

import json
import subprocess
import sys

from tests.conftest import Workspace


def command(workspace: Workspace, *arguments: str) -> list[str]:
    settings = [s for s in workspace.settings if not s.startswith("sampling.")]
    return [sys.executable, "sweep.py", *settings, *arguments]


def sweep(workspace: Workspace, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(workspace, *arguments),
        cwd=workspace.folder, env=workspace.environment | environment, capture_output=True, text=True,
    )  # fmt: skip


def generated_tokens(workspace: Workspace, name: str) -> int:
    folder = workspace.run(name) / "iter_00" / "stats"
    return sum(json.loads(path.read_bytes())["generated_tokens"] for path in folder.glob("generation-*.json"))
