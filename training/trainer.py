"""Fine-tune a model on token ids with TRL's SFTTrainer, in one process or under torchrun / accelerate launch.

The loss is the mean of -log p over the trained tokens of an optimiser step. TRL sums over the tokens that have a
label and divides by num_items_in_batch, which transformers counts over all micro-batches of the step and, with
average_tokens_across_devices, over all processes. So every trained token weighs the same, rows that fill up a batch
weigh nothing, and cutting a batch into micro-batches or processes changes the order of a sum and nothing else.
"""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from peft import LoraConfig
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
from transformers.integrations import get_available_reporting_integrations
from transformers.utils.logging import disable_progress_bar
from trl import SFTConfig, SFTTrainer

from conf.schema import Peft, Training
from store.errors import ConfigError, NotEnoughMemory
from training.batches import FILL, batch_order
from training.callbacks import MarkSaved, Progress, StopOnDivergence
from training.preflight import flat, row_names
from training.resume import last_complete

disable_progress_bar()  # of loading and saving: seconds

IGNORED = -100  # the label of a token that is not trained
LOGGED = ("step", "loss", "grad_norm", "learning_rate")

# SFTConfig arguments that follow from other settings or that would change which tokens are trained.
# fmt: off
DECIDED = frozenset((
    "output_dir", "seed", "data_seed", "use_cpu", "max_length", "packing", "dataset_kwargs", "num_train_epochs",
    "max_steps", "gradient_accumulation_steps", "average_tokens_across_devices", "train_sampling_strategy",
    "shuffle_dataset", "completion_only_loss", "assistant_only_loss", "logging_strategy", "logging_steps",
    "logging_first_step", "logging_nan_inf_filter", "disable_tqdm", "save_total_limit", "load_best_model_at_end",
    "resume_from_checkpoint", "model_init_kwargs", "trust_remote_code", "push_to_hub", "run_name",
))
# fmt: on


@dataclass(frozen=True)
class Trained:
    """Where the trainer left its weights (an adapter with LoRA), and what it took, in this process and since it began
    or was resumed. log: a dict per optimiser step: step, loss, grad_norm, learning_rate."""

    folder: Path
    num_steps: int
    resumed_from: int
    num_trained_tokens: int
    seconds: float
    log: list[dict[str, float]] = field(repr=False)

    def costs(self) -> dict[str, Any]:
        """For _costs/training.json."""
        return {
            "steps": self.num_steps,
            "resumed_from_step": self.resumed_from,
            "trained_tokens": self.num_trained_tokens,
            "training_seconds": round(self.seconds, 2),
            "trained_tokens_per_second": round(self.num_trained_tokens / self.seconds, 1),
            "log": self.log,
        }


class CompletionTrainer(SFTTrainer):
    """SFTTrainer whose LM head, on CPU, sees only the columns of a batch in which a token is trained.

    TRL's own head leaves untrained tokens out on GPUs alone; on CPU it projects prompts onto the vocabulary too. With
    prompts of 130 and completions of 22 tokens, batches grouped by length and bf16, a 135M model takes 316 tokens
    per CPU second this way and 175 with TRL's head; the loss is the same.
    """

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if not self.args.use_cpu:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        assert not return_outputs, "there is no evaluation during training"
        labels = inputs.pop("labels")[:, 1:]  # [rows, columns - 1]: the token that each column predicts
        columns = (labels != IGNORED).any(dim=0).nonzero().squeeze(1)
        logits = model(**inputs, logits_to_keep=columns, use_cache=False).logits  # [rows, kept columns, vocabulary]
        loss = cross_entropy(
            logits.flatten(0, 1).float(), labels[:, columns].flatten(), ignore_index=IGNORED, reduction="sum"
        )
        # num_items_in_batch counts all processes' tokens, and gradients are averaged over processes
        return loss / num_items_in_batch.clamp(min=1) * self.accelerator.num_processes


def train(rows: pa.Table, base: Path, work: Path, training: Training, peft: Peft, seed: int, device: str) -> Trained:
    """Train the model in `base` on `rows` (columns of data.schemas.SFT, every row checked before).

    Works in `work` and goes on from the last complete trainer checkpoint there. Raises TrainingDiverged at the step
    whose loss is of no use, NotEnoughMemory, and ConfigError for an argument SFTConfig or LoraConfig does not take.
    """
    dataset, lengths, num_trained = labelled(rows)
    order = batch_order(lengths, training.batch_size, training.num_epochs, seed, training.length_grouping)
    batches = order.reshape(-1, training.batch_size)
    trained_until = np.concatenate([[0], np.append(num_trained, 0)[batches].sum(axis=1).cumsum()])  # FILL is row -1

    def batch_names(step: int) -> list[str]:
        batch = batches[step - 1]
        return row_names(rows.take(batch[batch != FILL]))

    try:
        trainer = CompletionTrainer(
            model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, use_safetensors=True),
            args=sft_config(training, seed, device == "cpu", work),
            train_dataset=dataset.select(np.where(order == FILL, rows.num_rows, order)),
            processing_class=AutoTokenizer.from_pretrained(base),
            callbacks=[StopOnDivergence(batch_names), MarkSaved(), Progress(work.parent.name, trained_until)],
            peft_config=lora_config(peft),
        )
        trainer.remove_callback(PrinterCallback)
        warn_of_slow_bfloat16(trainer.args)
        resumed = last_complete(work)
        started = time.monotonic()
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise NotEnoughMemory(
            f"training ran out of memory ({str(error).splitlines()[0]}): give a smaller "
            "training.throughput.per_device_train_batch_size, training.throughput.gradient_checkpointing=true, or "
            "another run with peft=lora, and run the same command again"
        ) from None
    seconds = time.monotonic() - started
    folder = work / "trained"
    trainer.save_model(str(folder))  # every process has a part in it when weights are sharded
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    last, first = trainer.state.global_step, int(resumed.name.removeprefix("checkpoint-")) if resumed else 0
    log = [{key: entry[key] for key in LOGGED} for entry in trainer.state.log_history if "loss" in entry]
    return Trained(folder, last, first, int(trained_until[last] - trained_until[first]), seconds, log)


def labelled(rows: pa.Table) -> tuple[datasets.Dataset, np.ndarray, np.ndarray]:
    """The rows as input_ids and labels, with one row more that trains nothing; their lengths and trained tokens.

    Labels are given, not derived: TRL's default for rows without them trains the prompt as well.
    """
    ids, mask = flat(rows["input_ids"]), flat(rows["completion_mask"])
    lengths = pc.list_value_length(rows["input_ids"]).to_numpy()
    labels = np.where(mask == 1, ids, IGNORED)
    offsets = pa.array(np.concatenate([[0], lengths.cumsum(), [len(ids) + 1]]), pa.int32())
    table = pa.table(
        {
            "input_ids": pa.ListArray.from_arrays(offsets, np.append(ids, ids[:1])),
            "labels": pa.ListArray.from_arrays(offsets, np.append(labels, IGNORED).astype(np.int32)),
        }
    )
    num_trained = np.add.reduceat(mask.astype(np.int64), lengths.cumsum() - lengths)
    return datasets.Dataset(table), lengths, num_trained


def sft_config(training: Training, seed: int, use_cpu: bool, work: Path) -> SFTConfig:
    """SFTConfig's arguments: those of the preset, and those that follow from it and from the number of processes."""
    given = training.args | training.throughput
    limit = given.pop("per_device_train_batch_size", training.batch_size)
    if DECIDED & given.keys():
        names = ", ".join(sorted(DECIDED & given.keys()))
        raise ConfigError(f"training.args: {names} cannot be given, the training stage decides on it; leave it out")
    per_device, accumulation = split_batch(training.batch_size, int(os.environ.get("WORLD_SIZE", 1)), limit)
    try:
        config = SFTConfig(
            output_dir=str(work),
            run_name=f"{work.parent.parent.name}-{work.parent.name}",  # demo-iter_02, for experiment trackers
            seed=seed,
            use_cpu=use_cpu,
            per_device_train_batch_size=per_device,
            gradient_accumulation_steps=accumulation,
            num_train_epochs=1,  # `batch_order` has put all epochs into one
            train_sampling_strategy="sequential",
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
            average_tokens_across_devices=True,
            logging_steps=1,  # every step is looked at by StopOnDivergence
            logging_nan_inf_filter=False,
            disable_tqdm=True,
            **given,
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(f"training.args: {error}; its names are those of trl.SFTConfig") from None
    missing = sorted(set(config.report_to) - set(get_available_reporting_integrations()))
    if missing:
        raise ConfigError(
            f"training.throughput.report_to={missing[0]}: its package is not installed; install it into .venv "
            f"(.venv/bin/python -m pip install {missing[0]}), or give report_to=none"
        )
    return config


def warn_of_slow_bfloat16(args: SFTConfig) -> None:
    """bfloat16 products are 4.3 times as fast as float32 on a CPU that has them, and 4 times as slow under AVX2."""
    if args.use_cpu and args.bf16 and torch.backends.cpu.get_cpu_capability() == "AVX2":
        print("this CPU has no bfloat16 arithmetic: a run with training.args.bf16=false trains faster", flush=True)


def split_batch(batch_size: int, num_processes: int, limit: int) -> tuple[int, int]:
    """(rows per process and forward pass, forward passes per step) whose product over processes is batch_size."""
    if batch_size % num_processes:
        raise ConfigError(
            f"training.batch_size={batch_size} cannot be shared by {num_processes} processes: start a number of "
            "processes that divides it"
        )
    share = batch_size // num_processes
    per_device = max(size for size in range(1, min(share, limit) + 1) if share % size == 0)
    return per_device, share // per_device


def lora_config(peft: Peft) -> LoraConfig | None:
    """LoraConfig of the preset, None for full fine-tuning."""
    if peft.kind == "none":
        return None
    try:
        return LoraConfig(task_type="CAUSAL_LM", **peft.args)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"peft.args: {error}; its names are those of peft.LoraConfig") from None
