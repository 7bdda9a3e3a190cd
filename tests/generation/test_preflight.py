"""A model that will not fit is refused with figures before an engine is started, or even imported."""

import json
import os
import shutil
from pathlib import Path

import pytest

from generation.preflight import cache_of_a_token, weight_bytes
from store.checkpoints import Checkpoint
from store.machine import free_memory

SMOLLM2 = {"num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 576}
VLLM = ("engine=vllm_cpu",)
NVIDIA_SMI = """#!/bin/sh
case "$*" in
    *list-gpus*) for gpu in 0 1; do echo "GPU $gpu: a card"; done ;;
    *id=0*) echo "81920, 81000" ;;
    *id=1*) {second} ;;
esac
"""


def large_model(model: Path, folder: Path, gib: int) -> Path:
    """A copy of a model folder whose weights are `gib` GiB of zeros in bfloat16, which take no room on disk."""
    shutil.copytree(model, folder)
    entry = {"dtype": "BF16", "shape": [gib, 2**29], "data_offsets": [0, gib * 2**30]}
    header = json.dumps({"weight": entry}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    os.truncate(folder / "model.safetensors", 8 + len(header) + gib * 2**30)
    return folder


@pytest.fixture
def refuse(workspace, tmp_path):
    """refuse(run, words): the run's generation stage ends with exit code 8, these words, and no worker; then what one
    worker on another machine would say is the same."""
    (tmp_path / "unimportable").mkdir()
    (tmp_path / "unimportable" / "vllm.py").write_text("raise AssertionError('vllm was imported')")
    workspace.environment["PYTHONPATH"] += f":{tmp_path / 'unimportable'}"

    def check(run: str, *words: str) -> None:
        for command in (("generation", f"run={run}", "iteration=0"),
                        ("generation.launchers.remote", f"run={run}", "iteration=0", "rank=0", "world=1")):  # fmt: skip
            done = workspace.stage(*command, check=False)
            assert done.returncode == 8, done.stderr
            assert "Traceback" not in done.stderr
            for word in words:
                assert word in done.stderr
        assert not list((workspace.run(run) / "iter_00" / "_costs").glob("*.log"))

    return check


def replace_model(workspace, run: str, model: Path) -> None:
    """Make `model` the run's M_0, unread: its bytes would take minutes to hash."""
    record = Checkpoint({}, "0" * 64, stands_for=str(model))
    (workspace.run(run) / "base_model.json").write_bytes(record.to_json())


def test_weights_that_do_not_fit_are_refused_on_cpu(workspace, refuse, tiny_model, tmp_path):
    workspace.start("demo", *VLLM)
    replace_model(workspace, "demo", large_model(tiny_model, tmp_path / "large", 4000))
    refuse("demo", f"{tmp_path / 'large'} takes at least 4,002.0 GiB here (1 x 4,000.0 GiB of weights and 2.0 GiB",
           "GiB of memory are free", "engine.throughput.kv_cache_gib", "MODEL=")  # fmt: skip


def test_a_kv_cache_that_does_not_fit_is_refused(workspace, refuse):
    workspace.start("demo", *VLLM, "engine.throughput.kv_cache_gib=9000")
    refuse("demo", "takes at least 9,000.0 GiB here (1 x 0.0 GiB of weights and 9,000.0 GiB of KV cache)")


def test_a_kv_cache_too_small_for_a_sequence_is_refused(workspace, refuse):
    workspace.start("demo", *VLLM, "engine.args.max_model_len=20000000", "engine.throughput.kv_cache_gib=2")
    refuse("demo", "a sequence of engine.args.max_model_len tokens takes 4.8 GiB of KV cache", "gives 2.0", "raise it")


def test_every_worker_of_this_machine_counts(workspace):
    each = free_memory() // 2**30 // 2 + 1
    workspace.start("demo", *VLLM, f"engine.throughput.kv_cache_gib={each}", "launcher.workers=2")
    done = workspace.stage("generation", "run=demo", "iteration=0", check=False)
    assert done.returncode == 8
    assert f"takes at least {2 * each:.1f} GiB here (2 x 0.0 GiB of weights and {each:.1f} GiB" in done.stderr


def test_transformers_sets_no_cache_aside(workspace, refuse, tiny_model, tmp_path):
    workspace.start("demo", "engine=transformers")
    replace_model(workspace, "demo", large_model(tiny_model, tmp_path / "large", 4000))
    refuse("demo", "takes at least 4,000.0 GiB here (1 x 4,000.0 GiB of weights and 0.0 GiB of KV cache)")


def test_a_gpu_must_hold_its_share_of_weights_and_a_sequence(workspace, refuse, tiny_model, tmp_path):
    smi = tmp_path / "bin" / "nvidia-smi"
    smi.parent.mkdir()
    smi.write_text(NVIDIA_SMI.format(second='echo "81920, 30000"'))
    smi.chmod(0o755)
    workspace.environment |= {"PATH": f"{smi.parent}:{os.environ['PATH']}"}
    workspace.environment.pop("CUDA_VISIBLE_DEVICES", None)
    workspace.start("demo", "device=cuda", "engine=vllm", "engine.throughput.tensor_parallel_size=2")
    replace_model(workspace, "demo", large_model(tiny_model, tmp_path / "large", 64))
    refuse("demo", "takes at least 32.0 GiB on each of 2 GPUs (64.0 GiB of weights and 0.0 GiB of KV cache",
           "GPU 1 has 29.3 of 80.0 GiB free", "gpu_memory_utilization allows 72.0 GiB")  # fmt: skip

    smi.write_text(NVIDIA_SMI.format(second="echo no such GPU; exit 6"))  # as of a slice of a GPU
    replace_model(workspace, "demo", large_model(tiny_model, tmp_path / "larger", 150))
    refuse("demo", "takes at least 75.0 GiB on each of 2 GPUs", "GPU 0 has 79.1 of 80.0 GiB free")


def test_what_is_left_to_vllm_is_not_reckoned(workspace, tiny_model, tmp_path):
    (tmp_path / "vllm.py").write_text("raise SystemExit(2)  # a worker was started")
    workspace.environment["PYTHONPATH"] = f"{tmp_path}:{workspace.environment['PYTHONPATH']}"
    workspace.start("demo", *VLLM, "+engine.args.quantization=fp8", "engine.throughput.kv_cache_gib=9000")
    done = workspace.stage("generation", "run=demo", "iteration=0", check=False)
    assert done.returncode == 2
    assert (workspace.run("demo") / "iter_00" / "_costs" / "generation-0.log").exists()


def test_weights_are_counted_as_they_are_loaded(tiny_model):
    floats = weight_bytes(tiny_model, 4)
    assert floats == (tiny_model / "model.safetensors").stat().st_size // 4 * 4 - header_size(tiny_model)
    assert weight_bytes(tiny_model, 2) == floats // 2


def header_size(model: Path) -> int:
    content = (model / "model.safetensors").read_bytes()
    return 8 + int.from_bytes(content[:8], "little")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (SMOLLM2, 2 * 30 * 3 * 64 * 2),
        (SMOLLM2 | {"head_dim": 128}, 2 * 30 * 3 * 128 * 2),
        ({**SMOLLM2, "num_key_value_heads": None}, 2 * 30 * 9 * 64 * 2),
        (SMOLLM2 | {"sliding_window": 4096, "use_sliding_window": False}, 2 * 30 * 3 * 64 * 2),
        (SMOLLM2 | {"sliding_window": 4096}, 0),
        (SMOLLM2 | {"kv_lora_rank": 512}, 0),
        (SMOLLM2 | {"layer_types": ["full_attention"] * 30}, 2 * 30 * 3 * 64 * 2),
        (SMOLLM2 | {"layer_types": ["sliding_attention", "full_attention"]}, 0),
        (SMOLLM2 | {"hidden_size": "wide"}, 0),
        (SMOLLM2 | {"num_attention_heads": 0}, 0),
        ({"text_config": SMOLLM2}, 0),
    ],
)
def test_a_token_of_kv_cache_is_reckoned_where_every_layer_keeps_all_tokens(shape, expected):
    assert cache_of_a_token(shape, 2) == expected
