"""How many workers a machine has, and which of its cores and GPUs each takes."""

import os

import pytest

from conf.schema import load
from generation.launchers import devices
from generation.launchers.devices import core_shares, gpu_shares, num_workers, take_gpus
from store.errors import ConfigError
from store.gpus import Gpu
from store.run import Run


def test_a_worker_per_gpu_or_per_group_of_them_and_one_on_cpu(workspace, monkeypatch):
    monkeypatch.chdir(workspace.folder)
    workspace.start("cpu", "engine=vllm_cpu")
    workspace.start("cuda", "device=cuda", "engine=vllm")
    workspace.start("pairs", "device=cuda", "engine=vllm", "engine.throughput.tensor_parallel_size=2")
    workspace.start("three", "engine=vllm_cpu", "launcher.workers=3")
    workspace.start("many", "device=cuda", "engine=vllm", "launcher.workers=5")
    four = [Gpu(name) for name in "0123"]
    assert num_workers(load(Run("cpu")), []) == 1
    assert num_workers(load(Run("cuda")), four) == 4
    assert num_workers(load(Run("pairs")), four) == 2
    assert num_workers(load(Run("three")), []) == 3
    assert take_gpus(load(Run("cpu")), [], 1) == []
    assert take_gpus(load(Run("pairs")), four, 1) == four[:2]
    for run, gpus, wanted in (("cuda", [], 1), ("pairs", four[:1], 2), ("many", four, 5)):
        config = load(Run(run))
        with pytest.raises(ConfigError, match=f"take {wanted} GPUs and {len(gpus)} are visible"):
            take_gpus(config, gpus, num_workers(config, gpus))
    with pytest.raises(ConfigError, match="tensor_parallel_size=2, and a process can use one MIG instance only"):
        take_gpus(load(Run("pairs")), [Gpu("MIG-1", of="GPU-1"), Gpu("MIG-2", of="GPU-1")], 1)


def test_cores_are_shared_out_and_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.delenv("VLLM_CPU_OMP_THREADS_BIND", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 3, 5, 7, 8})
    assert core_shares(1) == [{}]
    assert core_shares(2) == [
        {"VLLM_CPU_OMP_THREADS_BIND": "2,3", "OMP_NUM_THREADS": "2"},
        {"VLLM_CPU_OMP_THREADS_BIND": "5,7", "OMP_NUM_THREADS": "2"},
    ]
    assert [share["VLLM_CPU_OMP_THREADS_BIND"] for share in core_shares(6)] == ["2", "3", "5", "7", "8", "2"]
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "2")
    assert core_shares(2) == [{}, {}]


def test_under_a_quota_workers_share_threads_and_no_cores(monkeypatch):
    monkeypatch.delenv("VLLM_CPU_OMP_THREADS_BIND", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    monkeypatch.setattr(devices, "num_cores", lambda: 4)
    assert core_shares(2) == [{"OMP_NUM_THREADS": "2", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}] * 2


def test_each_worker_gets_gpus_of_its_own():
    gpus = [Gpu(name) for name in ("1", "3", "GPU-5", "7")]
    assert gpu_shares(gpus[:3], 3) == [{"CUDA_VISIBLE_DEVICES": name} for name in ("1", "3", "GPU-5")]
    assert gpu_shares(gpus, 2) == [{"CUDA_VISIBLE_DEVICES": pair} for pair in ("1,3", "GPU-5,7")]
