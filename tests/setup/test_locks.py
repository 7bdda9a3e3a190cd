"""The locks are whole, pinned, free of this or that machine, and what the tests run in."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
UNLOCKED = ("ray",)  # extras that no lock has
PIN = re.compile(r"([a-z0-9][a-z0-9-]*)==([0-9][0-9a-z.+]*)")


def lock(accelerator: str) -> dict[str, str]:
    """{package: version} of a lock; every line but the header must be a pin."""
    lines = (ROOT / "requirements" / f"{accelerator}.txt").read_text(encoding="utf-8").splitlines()
    return dict(PIN.fullmatch(line).groups() for line in lines if not line.startswith("#"))


@pytest.mark.parametrize("accelerator", ["cpu", "cuda"])
def test_every_pin_of_the_project_is_in_the_lock(accelerator):
    other = {"cpu", "cuda"} - {accelerator}
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + [pin for name in extras.keys() - other - set(UNLOCKED) for pin in extras[name]]
    locked = lock(accelerator)
    for pin in wanted:
        name = re.match(r"[a-z0-9-]+", pin)[0]
        assert name in locked, f"{pin} is not in requirements/{accelerator}.txt"
        if match := PIN.fullmatch(pin):
            assert locked[name].partition("+")[0] == match[2], f"{pin}, and the lock has {locked[name]}"


def test_the_cpu_lock_has_no_cuda_build():
    locked = lock("cpu")
    assert locked["torch"].endswith("+cpu")
    assert not {"torchvision", "torchaudio", "torchcodec", "vllm"} & locked.keys()
    assert not [name for name in locked if name.startswith(("nvidia-", "cuda-"))]


@pytest.mark.parametrize("accelerator", ["cpu", "cuda"])
def test_a_lock_says_how_it_was_made_and_names_no_machine(accelerator):
    text = (ROOT / "requirements" / f"{accelerator}.txt").read_text(encoding="utf-8")
    assert "uv pip compile pyproject.toml --python-version 3.11" in text
    assert f"--extra {accelerator}" in text and f"-o requirements/{accelerator}.txt" in text
    assert not re.search(r"://|(^|\s)/|find-links|index-url", text)


def test_the_environment_is_the_lock():
    accelerator = (ROOT / ".venv" / ".accelerator").read_text(encoding="utf-8").strip()
    found = {name: importlib.metadata.version(name) for name in lock(accelerator)}
    assert found == lock(accelerator), "run requirements/install.sh"
