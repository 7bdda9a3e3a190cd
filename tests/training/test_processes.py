"""Whom a training process waits for, and which GPU it takes, by the environment."""

import os

import pytest

from store.errors import ConfigError
from tests import nvidia_smi
from training.processes import require_processes

LAUNCHED = {"RANK": "1", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29512"}


@pytest.fixture
def environment(monkeypatch):
    """environment(**values): these and no other of a launch."""
    for name in (*LAUNCHED, "WORLD_SIZE", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    return lambda **values: [monkeypatch.setenv(name, value) for name, value in values.items()]


def test_one_process_waits_for_nobody(environment):
    assert require_processes(1, "cpu") == ""


def test_a_world_size_that_nothing_launched_is_refused(environment):
    with pytest.raises(ConfigError, match=r"WORLD_SIZE=2 .* RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT is not.*unset"):
        require_processes(2, "cpu")
    environment(**{name: value for name, value in LAUNCHED.items() if name != "LOCAL_RANK"})  # a pod's, of a larger job
    with pytest.raises(ConfigError, match=r"LOCAL_RANK is not.*`unset WORLD_SIZE`"):
        require_processes(2, "cpu")


def test_launched_processes_say_where_they_meet(environment):
    environment(**LAUNCHED)
    assert require_processes(2, "cpu").startswith("waiting for 2 processes to meet at 10.0.0.1:29512; to train in one")


def test_a_process_alone_takes_the_first_visible_gpu(environment, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    nvidia_smi.install(tmp_path, nvidia_smi.SEVERAL)
    require_processes(1, "cuda")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    environment(CUDA_VISIBLE_DEVICES="3,1")
    require_processes(1, "cuda")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    nvidia_smi.install(tmp_path, nvidia_smi.SPLIT[:1], nvidia_smi.LIST_OF_SPLIT)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    require_processes(1, "cuda")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "MIG-cccc-0"


def test_more_processes_than_gpus_are_refused(environment, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    nvidia_smi.install(tmp_path, nvidia_smi.ONE)
    environment(**LAUNCHED)
    with pytest.raises(ConfigError, match="2 processes, one per GPU, and 1 GPUs are visible: lower PROCESSES"):
        require_processes(2, "cuda")
