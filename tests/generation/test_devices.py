"""How many workers a machine has, and which of its cores and GPUs each takes."""

import os

import pytest

from conf.schema import load
from generation.launchers.devices import core_shares, gpu_shares, num_workers, visible_gpus
from store.errors import ConfigError
from store.run import Run


def test_a_worker_per_gpu_or_per_group_of_them_and_one_on_cpu(workspace, monkeypatch):
    monkeypatch.chdir(workspace.folder)
    workspace.start("cpu", "engine=vllm_cpu")
    workspace.start("cuda", "device=cuda", "engine=vllm")
    workspace.start("pairs", "device=cuda", "engine=vllm", "engine.throughput.tensor_parallel_size=2")
    workspace.start("three", "engine=vllm_cpu", "launcher.workers=3")
    four = ["0", "1", "2", "3"]
    assert num_workers(load(Run("cpu")), []) == 1
    assert num_workers(load(Run("cuda")), four) == 4
    assert num_workers(load(Run("pairs")), four) == 2
    assert num_workers(load(Run("three")), []) == 3
    for run, gpus in (("cuda", []), ("pairs", ["0"])):
        with pytest.raises(ConfigError, match=f"{len(gpus)} GPUs are visible"):
            num_workers(load(Run(run)), gpus)


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


def test_gpus_are_shared_out_and_counted_as_they_are_named(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3,GPU-5")
    gpus = visible_gpus()
    assert gpu_shares(gpus, 3) == [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in ("1", "3", "GPU-5")]
    assert gpu_shares([*gpus, "7"], 2) == [{"CUDA_VISIBLE_DEVICES": pair} for pair in ("1,3", "GPU-5,7")]
