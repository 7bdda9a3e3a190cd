"""How many workers a machine has, and which of its cores and GPUs each takes."""

import os

import pytest

from conf.__main__ import composed
from conf.validation import validate
from generation.launchers import devices
from generation.launchers.devices import core_shares, gpu_shares, gpus_per_engine, num_workers, take_gpus
from store.errors import ConfigError
from store.gpus import Gpu
from store.run import Run


def test_a_worker_per_gpu_or_per_group_of_them_and_one_on_cpu():
    four = [Gpu(name) for name in "0123"]
    assert num_workers(0, [], each=1) == 1
    assert num_workers(0, four, each=1) == 4
    assert num_workers(0, four, each=2) == 2
    assert num_workers(3, [], each=1) == 3
    assert take_gpus(four, 1, each=2) == four[:2]
    for gpus, asked, each, wanted in (([], 0, 1, 1), (four[:1], 0, 2, 2), (four, 5, 1, 5)):
        with pytest.raises(ConfigError, match=f"take {wanted} GPUs and {len(gpus)} are visible"):
            take_gpus(gpus, num_workers(asked, gpus, each), each)
    with pytest.raises(ConfigError, match="tensor_parallel_size=2, and a process can use one MIG instance only"):
        take_gpus([Gpu("MIG-1", of="GPU-1"), Gpu("MIG-2", of="GPU-1")], 1, each=2)


def test_an_engine_takes_a_gpu_or_as_many_as_share_its_model():
    given = [], ["engine.throughput.tensor_parallel_size=2"]
    runs = [validate(composed(Run("demo"), ["device=cuda", "engine=vllm", *overrides])) for overrides in given]
    assert [gpus_per_engine(config.engine) for config in runs] == [1, 2]
    assert [config.launcher.workers for config in runs] == [0, 0]


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
