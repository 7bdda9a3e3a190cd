"""What a training needs in memory: a table of configurations, and peaks of real trainings."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from conf.schema import Peft
from store.errors import ConfigError, NotEnoughMemory
from store.machine import GIB
from training import memory
from training.memory import ModelSize, Setup, bytes_needed, largest_batch, model_size, out_of_memory, require_memory

ROOT = Path(__file__).parents[2]
QWEN_1_5B = ModelSize(
    parameters=1_543_714_304,
    embeddings=233_373_696,
    lora=1_154_048,
    layers=28,
    hidden=1536,
    mlp=8960,
    keys=256,
    vocabulary=151_936,
)
QWEN_7B = ModelSize(
    parameters=7_615_616_512, embeddings=1_089_994_752, lora=2_523_136,
    layers=28, hidden=3584, mlp=18944, keys=512, vocabulary=152_064,
)  # fmt: skip
SHORT = Setup(tokens=8 * 200, head_tokens=256)  # eight rows of 200 tokens on a GPU
ROW = Setup(tokens=200, head_tokens=200)

# model, how it is trained, GB of a GPU, whether it is let through
TABLE = [
    (QWEN_7B, SHORT, 80, False),
    (QWEN_7B, SHORT, 141, False),  # 16 bytes per parameter are 114 GiB, and autocast's copies 14 more
    (QWEN_7B, replace(ROW, processes=8, sharded=True), 80, True),
    (QWEN_7B, replace(ROW, processes=4, sharded=True), 80, True),
    (QWEN_7B, replace(ROW, processes=8), 80, False),  # DDP divides nothing
    (QWEN_7B, replace(SHORT, lora_rank=16), 80, True),
    (QWEN_7B, replace(SHORT, lora_rank=16), 40, False),
    (QWEN_1_5B, SHORT, 80, True),
    (QWEN_1_5B, SHORT, 24, False),
    (QWEN_1_5B, replace(SHORT, lora_rank=16, checkpointing=True), 24, True),
    (QWEN_1_5B, replace(ROW, processes=8, sharded=True), 24, True),
    (QWEN_1_5B, replace(ROW, processes=8), 32, False),  # its 16 bytes fit, the exchanged gradients do not
    (QWEN_1_5B, replace(SHORT, tokens=64 * 1000), 80, False),  # activations
    (QWEN_1_5B, replace(SHORT, tokens=64 * 1000, checkpointing=True), 80, True),
]


@pytest.mark.parametrize(("model", "setup", "gigabytes", "fits"), TABLE)
def test_what_fits_passes_and_the_rest_is_refused(model, setup, gigabytes, fits):
    free = int(gigabytes * 1e9 * 0.97)  # the driver and the context take some
    if fits:
        require_memory(model, setup, free, "cuda", 8, 200)
        return
    with pytest.raises(NotEnoughMemory, match=rf"{model.parameters:,} parameters.*GiB of cuda memory are free"):
        require_memory(model, setup, free, "cuda", 8, 200)


def test_a_refusal_says_what_fits_with_figures():
    with pytest.raises(NotEnoughMemory) as refusal:
        require_memory(QWEN_7B, SHORT, 77 * GIB, "cuda", 8, 200)
    told = str(refusal.value)
    assert "weights 28.4, gradients 28.4, optimizer 56.7, 16-bit copies 14.2" in told
    assert "ACCELERATE=fsdp2 PROCESSES=4 (" in told and "another run with peft=lora (" in told
    assert "gradient_checkpointing=true (" not in told  # of no use here
    with pytest.raises(NotEnoughMemory, match=r"What fits: training\.throughput\.gradient_checkpointing=true \("):
        require_memory(QWEN_1_5B, replace(SHORT, tokens=64_000), 78 * GIB, "cuda", 64, 1000)
    with pytest.raises(NotEnoughMemory, match=r"No setting makes it fit, the least is \d+\.\d GiB"):
        require_memory(QWEN_7B, SHORT, 8 * GIB, "cpu", 8, 200)


def test_every_remedy_passes_the_check_it_is_a_remedy_for():
    for free in (20, 40, 60, 77):
        told = memory.remedies(QWEN_7B, SHORT, free * GIB, "cuda", 8, 200)
        figures = [float(part.split(" GiB")[0]) for part in told.split("(")[1:]]
        assert all(figure <= free for figure in figures), told


def test_fsdp_divides_and_ddp_adds_buckets():
    alone = bytes_needed(QWEN_7B, ROW)
    sharded = bytes_needed(QWEN_7B, replace(ROW, processes=8, sharded=True))
    ddp = bytes_needed(QWEN_7B, replace(ROW, processes=8))
    for part in ("weights", "gradients", "optimizer"):
        assert sharded[part] == alone[part] // 8
        assert ddp[part] == alone[part]
    assert sharded["16-bit copies"] == alone["16-bit copies"] == 2 * QWEN_7B.parameters
    assert ddp["DDP buckets"] == alone["gradients"] and "DDP buckets" not in alone


def test_the_largest_micro_batch_is_found_with_its_padding():
    lengths, trained = np.array([5, 9, 7, 4, 1]), np.array([2, 3, 1, 4, 0])  # the last one fills up
    batches = np.array([[0, 1], [2, 3], [3, -1]])
    # ends 9, 7, 4; the head sees columns 3..9, 0..7 and 0..4
    assert largest_batch(lengths, trained, batches, 2) == (18, 14)
    assert largest_batch(lengths, trained, batches, 1) == (9, 4)


def test_a_models_size_is_read_from_its_folder(tiny_model):
    size = model_size(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    assert size.parameters == sum(p.numel() for p in model.parameters())
    assert (size.embeddings, size.layers, size.hidden, size.mlp, size.keys) == (512 * 64, 2, 64, 128, 32)
    linear = [m for name, m in model.named_modules() if isinstance(m, torch.nn.Linear) and name != "lm_head"]
    assert size.lora == sum(m.in_features + m.out_features for m in linear)


@pytest.fixture
def two_gpus(monkeypatch):
    """A stand-in for CUDA with two GPUs, of which the first has no room left."""
    chosen, free = [], [1 * GIB, 70 * GIB]
    stand_ins = {
        "is_available": lambda: True,
        "device_count": lambda: 2,
        "set_device": chosen.append,
        "mem_get_info": lambda device=None: (free[chosen[-1] if device is None else device], 80 * GIB),
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return chosen


@pytest.mark.parametrize(("rank", "free"), [("0", 1), ("1", 70)])
def test_every_rank_sets_and_reads_its_own_gpu(two_gpus, monkeypatch, rank, free):
    monkeypatch.setenv("LOCAL_RANK", rank)
    assert memory.free_memory_of("cuda") == free * GIB
    assert two_gpus == [int(rank)]


def test_a_rank_without_a_gpu_is_told_so(two_gpus, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ConfigError, match=r"process 2 .* no GPU, torch sees 2.*PROCESSES="):
        memory.free_memory_of("cuda")


def test_processes_share_the_memory_of_a_cpu(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 12 * GIB)
    assert memory.free_memory_of("cpu") == 12 * GIB
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert memory.free_memory_of("cpu") == 3 * GIB


@pytest.mark.parametrize("sharded", ["true", "false"])
def test_the_check_knows_how_processes_were_launched(tiny_model, monkeypatch, sharded):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", sharded)
    seen = []
    monkeypatch.setattr(memory, "require_memory", lambda model, setup, *rest: seen.append((setup, rest)))
    args = SimpleNamespace(per_device_train_batch_size=2, bf16=True, fp16=False, gradient_checkpointing=True)
    rows = (np.array([5, 9, 1]), np.array([2, 3, 0]), np.array([[0, 1, -1, -1]]))
    memory.check_memory(tiny_model, rows, Peft(kind="lora", args={"r": 4}), args, "cpu")
    [(setup, (_, device, batch_size, longest))] = seen
    assert setup == Setup(18, 12, lora_rank=4, bf16=True, checkpointing=True, processes=4, sharded=sharded == "true")
    assert (device, batch_size, longest) == ("cpu", 4, 9)


def test_an_allocation_that_fails_is_a_lack_of_memory():
    with pytest.raises(NotEnoughMemory, match="training ran out of memory"), out_of_memory():
        torch.empty(1 << 60, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="size mismatch"), out_of_memory():
        raise RuntimeError("size mismatch")


MODEL = dict(
    vocab_size=8000, hidden_size=256, intermediate_size=1024, num_hidden_layers=8, num_attention_heads=8,
    num_key_value_heads=8, tie_word_embeddings=True,
)  # fmt: skip
FACTOR = 1.5  # between estimate and measured peak, either way


@pytest.mark.nightly
@pytest.mark.parametrize(
    "changed",
    [{}, {"bf16": False}, {"checkpointing": True}, {"lora": True}],
    ids=["bf16", "float32", "checkpointing", "lora"],
)
def test_estimates_are_near_the_peaks_of_real_trainings(changed):
    case = {"model": MODEL, "rows": 8, "length": 512, "trained": 32}
    case |= {"bf16": True, "checkpointing": False, "lora": False} | changed
    command = [sys.executable, str(Path(__file__).parent / "measure_training_memory.py"), json.dumps(case)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert 1 / FACTOR < found["estimated"] / found["measured"] < FACTOR, found
