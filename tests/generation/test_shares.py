"""How many workers a machine has, and which of its cores and GPUs each takes."""

import os

import pytest

from conf.schema import load
from data.run import Run
from generation import memory
from generation.plan import Plan, Shard
from generation.shares import SAMPLES_PER_WORKER, core_shares, gpu_shares, visible_gpus, workers_on_cpu


@pytest.fixture
def on_cpu(workspace, tiny_model, monkeypatch):
    """on_cpu(cores, free GiB, samples, shards): the workers that vLLM's engine of a tiny model gets."""
    monkeypatch.chdir(workspace.folder)
    workspace.start("demo", "engine=vllm_cpu", "engine.throughput.kv_cache_gib=2")
    config = load(Run("demo"))

    def count(cores: int, free: float, samples: int, num_shards: int, config=config) -> int:
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
        monkeypatch.setattr(memory, "free_memory", lambda: int(free * 2**30))
        size = samples // num_shards // 2
        shards = [Shard("train", i, num_shards, i * size, (i + 1) * size, 1, 1, 1) for i in range(num_shards)]
        return workers_on_cpu(config, tiny_model, Plan(0, {}, {}, (), tuple(shards)))

    return count


def test_a_worker_per_core_as_far_as_memory_samples_and_shards_go(on_cpu):
    many = 100 * SAMPLES_PER_WORKER
    assert on_cpu(8, 100, many, 50) == 8
    assert on_cpu(8, 20, many, 50) == 3  # 6.5 GiB each
    assert on_cpu(8, 1, many, 50) == 1  # whether that fits is asked elsewhere
    assert on_cpu(8, 100, 2 * SAMPLES_PER_WORKER, 50) == 2
    assert on_cpu(8, 100, many, 5) == 5
    assert on_cpu(8, 100, 40, 1) == 1


def test_other_engines_have_one_worker(workspace, on_cpu, monkeypatch):
    for engine in ("transformers", "fake"):
        workspace.start(engine, f"engine={engine}")
        assert on_cpu(8, 100, 10**6, 50, load(Run(engine))) == 1


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
