"""Whether a training fits into memory, estimated before anything is loaded.

What one process holds at its peak, in bytes. P: parameters, T: those that are trained, N: tokens of a micro-batch,
padding included, L: layers, h: hidden size, f: MLP width (of all experts that see a token), k: width of the keys,
E: embeddings, V: vocabulary. All but the last three lines are divided by the processes under FSDP.

    weights         4 P     float32, as are gradients and optimizer
    gradients       4 T     and under DDP 4 T more, the buckets that the GPUs exchange
    optimizer       8 T     AdamW's two moments
    gathered layers 4 (E + 2 P/L)   FSDP alone: the embeddings and two layers at a time are whole
    16-bit copies   2 P     bf16 alone: autocast makes them and keeps them until the backward pass; never divided
    activations     N L (34 h + 4 k + 8 f), in float32 N L (44 h + 8 k + 16 f): what PyTorch keeps of a Llama block,
                    attention fused. With LoRA in bf16 N L (24 h + 4 f) more, PEFT's float32 copies of the inputs.
                    With gradient checkpointing N L 4 h, and three layers': one that is computed again, its
                    gradients, and what the backward pass works with (2.4 to 4.1 in measured peaks)
    logits          16 V per token at the LM head: on CPU the trained columns, on GPUs a chunk of 256 tokens

tests/training/test_memory.py holds the sum against peaks of real trainings.
"""

import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig
from trl import SFTConfig

from conf.schema import Peft
from store.errors import ConfigError, NotEnoughMemory
from store.machine import GIB, free_memory, model_tensors

GPU_HEAD_TOKENS = 256  # TRL's LM head works through the trained tokens in chunks of this many
RECOMPUTED_LAYERS = 3
SURE = 2 / 3  # of the estimated activations and logits: a training is refused only when it does not fit even with these


@dataclass(frozen=True)
class ModelSize:
    """parameters, embeddings: how many; lora: rows + columns of all matrices that get an adapter, summed."""

    parameters: int
    embeddings: int
    lora: int
    layers: int
    hidden: int
    mlp: int
    keys: int
    vocabulary: int


@dataclass(frozen=True)
class Setup:
    """How a model is trained. tokens, head_tokens: of the largest micro-batch, per process. lora_rank: 0 trains all."""

    tokens: int
    head_tokens: int
    lora_rank: int = 0
    train_embeddings: bool = False
    bf16: bool = True
    checkpointing: bool = False
    processes: int = 1
    sharded: bool = False


def model_size(folder: Path) -> ModelSize:
    """Return the size of the model in `folder`, from its configuration and the headers of its files."""
    config = AutoConfig.from_pretrained(folder).get_text_config()
    tensors = list(model_tensors(folder))
    matrices = [t.shape for t in tensors if len(t.shape) == 2 and config.vocab_size not in t.shape]
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    experts = getattr(config, "num_experts_per_tok", None) or 1
    width = (getattr(config, "moe_intermediate_size", None) or config.intermediate_size) * experts
    return ModelSize(
        parameters=sum(t.size for t in tensors),
        embeddings=sum(t.size for t in tensors if len(t.shape) == 2 and config.vocab_size in t.shape),
        lora=sum(map(sum, matrices)),
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        mlp=width + (getattr(config, "shared_expert_intermediate_size", None) or 0),
        keys=(getattr(config, "num_key_value_heads", None) or heads) * head_dim,
        vocabulary=config.vocab_size,
    )


def bytes_needed(model: ModelSize, setup: Setup) -> dict[str, int]:
    """Return {what: bytes} that one process holds at its peak."""
    trained = setup.lora_rank * model.lora + setup.train_embeddings * model.embeddings
    trained = trained if setup.lora_rank else model.parameters
    shards = setup.processes if setup.sharded else 1
    adapters = trained if setup.lora_rank else 0
    per_layer = (model.parameters - model.embeddings) // model.layers
    needed = {
        "weights": 4 * (model.parameters + adapters) // shards,
        "gradients": 4 * trained // shards,
        "optimizer": 8 * trained // shards,
    }
    if setup.sharded:
        needed["gathered layers"] = 4 * (model.embeddings + 2 * per_layer)
    elif setup.processes > 1:
        needed["DDP buckets"] = 4 * trained
    if setup.bf16:
        needed["16-bit copies"] = 2 * model.parameters
    narrow, wide = (4, 8) if setup.bf16 else (8, 16)
    layer = setup.tokens * ((34 if setup.bf16 else 44) * model.hidden + narrow * model.keys + wide * model.mlp)
    if setup.lora_rank and setup.bf16:
        layer += setup.tokens * (24 * model.hidden + 4 * model.mlp)
    kept = layer * model.layers
    if setup.checkpointing:
        kept = min(kept, setup.tokens * 4 * model.hidden * model.layers + RECOMPUTED_LAYERS * layer)
    return needed | {"activations": kept, "logits": 16 * model.vocabulary * setup.head_tokens}


def lower_bound(needed: dict[str, int]) -> int:
    """Return what a training takes at the very least, in bytes."""
    return int(sum(size * (SURE if what in ("activations", "logits") else 1) for what, size in needed.items()))


def require_memory(model: ModelSize, setup: Setup, free: int, device: str, batch_size: int, row_tokens: int) -> None:
    """NotEnoughMemory when a process of the training needs more than `free` bytes, with what would fit.

    batch_size: rows per optimizer step. row_tokens: of the longest row.
    """
    needed = bytes_needed(model, setup)
    if lower_bound(needed) <= free:
        return
    parts = ", ".join(f"{what} {size / GIB:.1f}" for what, size in needed.items() if size)
    raise NotEnoughMemory(
        f"training {model.parameters:,} parameters takes about {gib(needed)} in each process ({parts}; "
        f"micro-batches of {setup.tokens:,} tokens), {free / GIB:.1f} GiB of {device} memory are free. "
        f"{remedies(model, setup, free, device, batch_size, row_tokens)}"
    )


def remedies(model: ModelSize, setup: Setup, free: int, device: str, batch_size: int, row_tokens: int) -> str:
    """Return the changes after which the training fits, each with its figure, those that keep the run first."""
    small = replace(setup, tokens=min(setup.tokens, row_tokens), head_tokens=min(setup.head_tokens, row_tokens))
    frugal = replace(small, checkpointing=True)
    rows = "training.throughput.per_device_train_batch_size=1"
    checkpointing = "training.throughput.gradient_checkpointing=true"
    choices = [  # of each list the first that fits is named
        [
            (checkpointing, replace(setup, checkpointing=True)),
            (rows, small),
            (f"{rows} and {checkpointing}", frugal),
        ],
        [],
        [],
    ]
    if device == "cuda":
        more = [n for n in (2, 4, 8, 16) if n > setup.processes and batch_size % n == 0]
        for suffix, each in (("", small), (f" with {checkpointing}", frugal)):
            choices[1] += [
                (f"ACCELERATE=fsdp2 PROCESSES={n}{suffix}", replace(each, processes=n, sharded=True)) for n in more
            ]
    if not setup.lora_rank:
        choices[2] = [
            ("another run with peft=lora", replace(setup, lora_rank=16)),
            (f"another run with peft=lora, {rows} and {checkpointing}", replace(frugal, lora_rank=16)),
        ]
    found = []
    for alternatives in choices:
        fitting = ((name, other) for name, other in alternatives if total(bytes_needed(model, other)) <= free)
        found += [f"{name} ({gib(bytes_needed(model, other))})" for name, other in itertools.islice(fitting, 1)]
    if not found:
        least = min((bytes_needed(model, other) for _, other in itertools.chain(*choices)), key=total)
        return f"No setting makes it fit, the least is {gib(least)}: use a smaller MODEL=, or more memory"
    return "What fits: " + "; ".join(found)


def total(needed: dict[str, int]) -> int:
    return sum(needed.values())


def gib(needed: dict[str, int]) -> str:
    return f"{total(needed) / GIB:.1f} GiB"


def largest_batch(lengths: np.ndarray, trained: np.ndarray, batches: np.ndarray, rows: int) -> tuple[int, int]:
    """(tokens, tokens with a logit on CPU) of the largest micro-batch, padding included.

    lengths, trained: per row, with a last entry for the row that fills up batches. batches: row numbers, [steps, rows
    per step]. rows: of a micro-batch. The LM head sees the columns from the first trained token to the last.
    """
    micro = batches.reshape(-1, rows)
    ends = lengths[micro].max(axis=1)
    columns = ends - np.where(trained[micro] > 0, (lengths - trained)[micro], ends[:, None]).min(axis=1)
    return int(rows * ends.max()), int(rows * columns.max())


def check_memory(base: Path, rows: tuple[np.ndarray, ...], peft: Peft, args: SFTConfig, device: str) -> None:
    """NotEnoughMemory when this process cannot train the model in `base` as the settings and its environment say.

    rows: lengths, trained, batches of `largest_batch`. args: the SFTConfig.
    """
    lengths, trained, batches = rows
    tokens, head_tokens = largest_batch(lengths, trained, batches, args.per_device_train_batch_size)
    lora_rank = peft.args.get("r", 8) if peft.kind == "lora" else 0
    setup = Setup(
        tokens,
        head_tokens if device == "cpu" else min(head_tokens, GPU_HEAD_TOKENS),
        lora_rank=lora_rank,
        train_embeddings=bool(lora_rank and peft.args.get("modules_to_save")),
        bf16=bool(args.bf16 or args.fp16),
        checkpointing=bool(args.gradient_checkpointing),
        processes=int(os.environ.get("WORLD_SIZE", "1")),
        sharded=any(os.environ.get(f"ACCELERATE_USE_{name}") == "true" for name in ("FSDP", "DEEPSPEED")),
    )
    require_memory(model_size(base), setup, free_memory_of(device), device, batches.shape[1], int(lengths.max()))


@contextlib.contextmanager
def out_of_memory() -> Iterator[None]:
    """NotEnoughMemory for what torch raises inside when it can allocate no more."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise NotEnoughMemory(
            f"training ran out of memory ({str(error).splitlines()[0]}): give a smaller "
            "training.throughput.per_device_train_batch_size, training.throughput.gradient_checkpointing=true, or "
            "another run with peft=lora, and run the same command again"
        ) from None


def free_memory_of(device: str) -> int:
    """Bytes this process may still take on its device: the GPU of its local rank, or its share of the machine."""
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if device == "cpu":
        return free_memory() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if not torch.cuda.is_available():
        raise ConfigError("device=cuda was given, but torch sees no GPU: start another run with device=cpu")
    if local_rank >= torch.cuda.device_count():
        raise ConfigError(
            f"process {local_rank} of this machine has no GPU, torch sees {torch.cuda.device_count()}: give "
            "PROCESSES= no more than that"
        )
    torch.cuda.set_device(local_rank)  # else every process looks at the first GPU, and opens a context there
    return torch.cuda.mem_get_info(local_rank)[0]
