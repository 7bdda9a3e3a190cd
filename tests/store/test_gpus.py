"""Which GPUs there are and which are visible, from what nvidia-smi says."""

import os

import pytest

from store.errors import ConfigError
from store.gpus import driver_too_old, installed_gpus, visible_gpus
from tests import nvidia_smi

MIB = 2**20


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """machine(gpus, ...): nvidia-smi answers for them."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def install(gpus: tuple, **kwargs) -> None:
        nvidia_smi.install(tmp_path, gpus, **kwargs)

    return install


def names(environment: dict[str, str] | None = None) -> list[str]:
    return [gpu.name for gpu in visible_gpus(environment or {})]


def test_memory_is_what_cuda_sees(machine):
    machine(nvidia_smi.ONE)
    (gpu,) = installed_gpus()
    assert (gpu.total, gpu.free, gpu.driver) == ((81559 - 562) * MIB, 80995 * MIB, "580.65.06")
    machine(((0, "GPU-a", "GB10", "[N/A]", "[N/A]", "580.65.06", "[N/A]", "[N/A]"),))
    assert [(gpu.total, gpu.free) for gpu in installed_gpus()] == [(None, None)]


def test_mig_instances_are_gpus_and_the_split_one_is_not(machine):
    machine(nvidia_smi.SPLIT, listing=nvidia_smi.LIST_OF_SPLIT)
    assert names() == ["1", "MIG-cccc-0", "MIG-cccc-1"]
    assert [gpu.total // 2**30 for gpu in visible_gpus({}) if gpu.of == "GPU-bbbb-0"] == [20, 5]
    assert names({"CUDA_VISIBLE_DEVICES": "MIG-cccc-1"}) == ["MIG-cccc-1"]
    with pytest.raises(ConfigError, match="GPU 0 is split by MIG; name its instances: 1, MIG-cccc-0, MIG-cccc-1"):
        names({"CUDA_VISIBLE_DEVICES": "0"})


@pytest.mark.parametrize(
    ("given", "expected"),
    [("", []), ("2,0", ["2", "0"]), (" 1 , 3 ", ["1", "3"]), ("GPU-aaaa-3", ["GPU-aaaa-3"]), ("0,-1,1", ["0"])],
)
def test_visible_gpus_are_those_cuda_would_use(machine, given, expected):
    machine(nvidia_smi.SEVERAL)
    assert names({"CUDA_VISIBLE_DEVICES": given}) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("4", "4 is not one GPU of this machine; there are: 0, 1, 2, 3"),
        ("0,x", "x is not one GPU"),
        ("GPU-aaaa", "GPU-aaaa is not one GPU"),  # four begin so
        ("1,1", "names a GPU twice"),
    ],
)
def test_unknown_visible_gpus_are_refused(machine, given, said):
    machine(nvidia_smi.SEVERAL)
    with pytest.raises(ConfigError, match=f"CUDA_VISIBLE_DEVICES={given}.*{said}"):
        names({"CUDA_VISIBLE_DEVICES": given})


def test_without_nvidia_smi_the_names_are_taken(machine):
    machine(())
    assert installed_gpus() is None
    assert names({"CUDA_VISIBLE_DEVICES": "1,GPU-5"}) == ["1", "GPU-5"]
    with pytest.raises(ConfigError, match="nvidia-smi does not answer"):
        names()


def test_a_driver_that_is_older_than_mig_answers_too(machine):
    machine(nvidia_smi.OLD, knows_mig=False)
    (gpu,) = installed_gpus()
    assert (gpu.driver, gpu.total) == ("550.54.15", 40960 * MIB)


def test_old_drivers_are_told_from_new_ones(machine):
    machine(nvidia_smi.OLD)
    assert driver_too_old(installed_gpus()) == "550.54.15"
    machine(nvidia_smi.ONE)
    assert driver_too_old(installed_gpus()) is None
    machine(())
    assert driver_too_old(installed_gpus()) is None
