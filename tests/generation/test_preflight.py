"""A model that will not fit is refused with figures before an engine is started, or even imported."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from conf.__main__ import composed
from conf.validation import validate
from generation import preflight
from generation.capacity import cache_of_a_token, require_memory, step_bytes, weight_bytes
from generation.engines.length import fitted, num_positions
from store.checkpoints import Checkpoint
from store.errors import NotEnoughMemory
from store.gpus import Gpu
from store.machine import free_memory
from store.run import Run
from tests import nvidia_smi

SMOLLM2 = {"num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 576}
VLLM = ("engine=vllm_cpu",)


def large_model(model: Path, folder: Path, gib: int) -> Path:
    """A copy of a model folder with `gib` GiB of zeros in bfloat16 more, which take no room on disk."""
    shutil.copytree(model, folder)
    content = (folder / "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8:start]), content[start:]
    header["weight"] = {
        "dtype": "BF16",
        "shape": [gib, 2**29],
        "data_offsets": [len(data), len(data) + gib * 2**30],
    }
    header = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)
    os.truncate(folder / "model.safetensors", 8 + len(header) + len(data) + gib * 2**30)
    return folder


@pytest.fixture
def refuse(workspace, tmp_path):
    """refuse(run, words): the run's generation stage ends with exit code 8 (or code=), these words, and no worker; then
    what one worker on another machine would say is the same."""
    (tmp_path / "unimportable").mkdir()
    (tmp_path / "unimportable" / "vllm.py").write_text("raise AssertionError('vllm was imported')")
    workspace.environment["PYTHONPATH"] += f":{tmp_path / 'unimportable'}"

    def check(run: str, *words: str, code: int = 8) -> None:
        for command in (("generation", f"run={run}", "iteration=0"),
                        ("generation.launchers.remote", f"run={run}", "iteration=0", "rank=0", "world=1")):  # fmt: skip
            done = workspace.stage(*command, check=False)
            assert done.returncode == code, done.stderr
            assert "Traceback" not in done.stderr
            for word in words:
                assert word in done.stderr
        assert not list((workspace.run(run) / "iter_00" / "logs").glob("*.log"))

    return check


def with_config(model: Path, folder: Path, **values) -> Path:
    """A copy of a model folder whose config.json says so."""
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))
    return folder


def replace_model(workspace, run: str, model: Path) -> None:
    """Make `model` the run's M_0, unread: its bytes would take minutes to hash."""
    record = Checkpoint({}, "0" * 64, alias_of=str(model))
    (workspace.run(run) / "base_model.json").write_bytes(record.to_json())


def test_weights_that_do_not_fit_are_refused_on_cpu(workspace, refuse, tiny_model, tmp_path):
    workspace.start("demo", *VLLM)
    replace_model(workspace, "demo", large_model(tiny_model, tmp_path / "large", 4000))
    refuse("demo", f"{tmp_path / 'large'} takes at least 4,002.0 GiB here (1 x 4,000.0 GiB of weights and 2.0 GiB",
           "GiB of memory are free", "engine.throughput.kv_cache_gib", "MODEL=")  # fmt: skip


def test_a_kv_cache_that_does_not_fit_is_refused(workspace, refuse):
    workspace.start("demo", *VLLM, "engine.throughput.kv_cache_gib=9000")
    refuse("demo", "takes at least 9,000.0 GiB here (1 x 0.0 GiB of weights and 9,000.0 GiB of KV cache)")


def test_a_kv_cache_too_small_for_a_sequence_is_refused(workspace, refuse, tiny_model, tmp_path):
    workspace.start("demo", *VLLM, "engine.args.max_model_len=20000000", "engine.throughput.kv_cache_gib=2")
    replace_model(workspace, "demo", with_config(tiny_model, tmp_path / "long", max_position_embeddings=20_000_000))
    refuse("demo", "a sequence of engine.args.max_model_len tokens takes 4.8 GiB of KV cache", "gives 2.0", "raise it")


def test_every_worker_of_this_machine_counts(workspace):
    each = free_memory() // 2**30 // 2 + 1
    workspace.start("demo", *VLLM, f"engine.throughput.kv_cache_gib={each}", "launcher.workers=2")
    done = workspace.stage("generation", "run=demo", "iteration=0", check=False)
    assert done.returncode == 8
    assert f"takes at least {2 * each:.1f} GiB here (2 x 0.0 GiB of weights and {each:.1f} GiB" in done.stderr


def test_transformers_reserves_no_cache(workspace, refuse, tiny_model, tmp_path):
    workspace.start("demo", "engine=transformers")
    replace_model(workspace, "demo", large_model(tiny_model, tmp_path / "large", 4000))
    refuse("demo", "takes at least 4,000.0 GiB here (1 x 4,000.0 GiB of weights and 0.0 GiB of KV cache)")


@pytest.fixture
def gpus(workspace, tmp_path):
    """gpus(...): nvidia-smi answers for these."""
    workspace.environment |= {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    workspace.environment.pop("CUDA_VISIBLE_DEVICES", None)
    return lambda cards, **kwargs: nvidia_smi.install(tmp_path / "bin", cards, **kwargs)


def test_a_gpu_must_hold_its_share_of_weights_and_a_sequence(workspace, refuse, gpus, tiny_model, tmp_path):
    gpus(nvidia_smi.SEVERAL[:2])
    workspace.start("demo", "device=cuda", "engine=vllm", "engine.throughput.tensor_parallel_size=2")
    replace_model(workspace, "demo", large_model(tiny_model, tmp_path / "large", 150))
    refuse("demo", "takes at least 75.0 GiB on each of 2 GPUs (150.0 GiB of weights and 0.0 GiB of KV cache",
           "GPU 0 has 79.1 of 79.1 GiB free", "gpu_memory_utilization allows 71.2 GiB")  # fmt: skip


def test_what_else_uses_a_gpu_is_told_before_an_engine_starts(workspace, refuse, gpus):
    gpus(nvidia_smi.BUSY)
    workspace.start("demo", "device=cuda", "engine=vllm", "engine.throughput.tensor_parallel_size=2")
    refuse("demo", "GPU 1 has 58.6 of 79.1 GiB free", "gpu_memory_utilization=0.9 takes 71.2 GiB", "less than 0.74")
    workspace.environment["CUDA_VISIBLE_DEVICES"] = "0,5"
    refuse("demo", "CUDA_VISIBLE_DEVICES=0,5: 5 is not one GPU of this machine; there are: 0, 1", code=2)


def test_a_vllm_for_the_other_device_is_refused(workspace, refuse, gpus):
    gpus(nvidia_smi.ONE)
    workspace.start("demo", "device=cuda", "engine=vllm")
    refuse("demo", "device=cuda, and the vLLM of .venv is for cpu", "ACCELERATOR=cuda make setup", code=2)


@pytest.mark.parametrize(
    ("fast", "settings", "said"),
    [
        (False, ["engine=transformers"], True),
        (False, ["engine=transformers", "engine.args.dtype=auto"], True),
        (False, ["engine=transformers", "engine.args.dtype=float32"], False),
        (True, ["engine=transformers"], False),
        (False, ["engine=fake"], False),
    ],
)
def test_a_processor_that_is_slow_at_bfloat16_is_told(tiny_model, monkeypatch, capsys, fast, settings, said):
    monkeypatch.setattr(preflight, "multiplies_bfloat16", lambda: fast)
    engine = validate(composed(Run("demo"), ["device=cpu", *settings])).engine
    preflight.require_machine(Run("demo"), engine, "cpu", tiny_model, 1, [])
    assert ("a run with device=cpu_avx2 samples faster" in capsys.readouterr().out) == said


GIB = 2**30
ROOMY = Gpu("0", total=80 * GIB, free=80 * GIB)
USED = Gpu("1", total=80 * GIB, free=71 * GIB)  # less than nine tenths
SLICE = Gpu("MIG-1", total=20 * GIB, free=20 * GIB, of="GPU-1")
SILENT = Gpu("2")  # without nvidia-smi


@pytest.mark.parametrize(
    ("gib", "throughput", "cards", "said"),
    [
        (60, {}, [ROOMY], None),
        (73, {}, [ROOMY], "at least 73.0 GiB on each of 1 GPUs"),
        (73, {"gpu_memory_utilization": 0.95}, [ROOMY], None),
        (60, {}, [USED], "GPU 1 has 71.0 of 80.0 GiB free, and engine.throughput.gpu_memory_utilization=0.9 takes 72"),
        (60, {"gpu_memory_utilization": 0.88}, [USED], None),
        (73, {"tensor_parallel_size": 2}, [ROOMY, ROOMY], None),
        (73, {"tensor_parallel_size": 2}, [ROOMY, USED], "GPU 1 has 71.0"),
        (150, {"tensor_parallel_size": 2}, [ROOMY, ROOMY], "at least 75.0 GiB on each of 2 GPUs"),
        (17, {}, [SLICE], None),
        (19, {}, [SLICE], "GPU MIG-1 has 20.0 of 20.0 GiB free"),
        (4000, {}, [SILENT], None),  # nothing is known of it
        (71, {"max_num_seqs": 600_000}, [ROOMY], "72.1 GiB on each of 1 GPUs (71.0 GiB of weights"),
    ],
)
def test_memory_of_gpus(tiny_model, tmp_path, gib, throughput, cards, said):
    given = [f"engine.throughput.{key}={value}" for key, value in throughput.items()]
    config = validate(composed(Run("demo"), ["device=cuda", "engine=vllm", *given]))
    model = large_model(tiny_model, tmp_path / "large", gib)
    if said is None:
        require_memory(config.engine, "cuda", model, 1, cards)
    else:
        with pytest.raises(NotEnoughMemory, match=re.escape(said)):
            require_memory(config.engine, "cuda", model, 1, cards)


def test_more_tokens_than_the_model_has_positions(workspace, refuse, tiny_model):
    """Asked for: refused with both numbers. By a preset: the model's, which is what the engine gets."""
    workspace.start("asked", *VLLM, "engine.args.max_model_len=4096")
    refuse("asked", "engine.args.max_model_len=4,096", "has 2,048 positions", "max_model_len=2048 or less", code=2)
    assert fitted({"dtype": "bfloat16", "max_model_len": 4096}, tiny_model)["max_model_len"] == 2048
    assert fitted({"max_model_len": 512}, tiny_model) == {"max_model_len": 512}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, 2048),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, None),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, 2048),
        ({"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 2.0}}, None),
        ({"max_position_embeddings": None}, None),
        ({"model_max_length": 9000}, None),
    ],
)
def test_positions_are_those_vllm_would_find(tiny_model, tmp_path, values, expected):
    assert num_positions(with_config(tiny_model, tmp_path / "model", **values)) == expected


def test_a_step_is_the_scores_of_all_sequences_or_the_widest_layer():
    shape = {"vocab_size": 150_000, "intermediate_size": 10_000}
    assert step_bytes(shape, {"max_num_seqs": 500}, 2, 1) == 500 * 150_000 * 6
    assert step_bytes(shape, {"max_num_seqs": 1, "max_num_batched_tokens": 8192}, 2, 2) == 8192 * 3 * 10_000
    assert step_bytes({"text_config": shape}, {"max_num_seqs": 500}, 2, 1) == 0


def test_what_is_left_to_vllm_is_not_estimated(workspace, tiny_model, tmp_path):
    (tmp_path / "vllm.py").write_text("raise SystemExit(2)  # a worker was started")
    workspace.environment["PYTHONPATH"] = f"{tmp_path}:{workspace.environment['PYTHONPATH']}"
    workspace.start("demo", *VLLM, "+engine.args.quantization=fp8", "engine.throughput.kv_cache_gib=9000")
    done = workspace.stage("generation", "run=demo", "iteration=0", check=False)
    assert done.returncode == 2
    assert (workspace.run("demo") / "iter_00" / "logs" / "generation-0.log").exists()


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
def test_a_token_of_kv_cache_is_estimated_where_every_layer_keeps_all_tokens(shape, expected):
    assert cache_of_a_token(shape, 2) == expected
