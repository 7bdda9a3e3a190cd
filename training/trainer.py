"""Fine-tune a model on token ids with TRL's SFTTrainer, in one process or under torchrun / accelerate launch.

The loss is the mean of -log p over the trained tokens of an optimizer step. TRL sums over the tokens that have a
label and divides by num_items_in_batch, which transformers counts over all micro-batches of the step and, with
average_tokens_across_devices, over all processes. So every trained token weighs the same, rows that fill up a batch
weigh nothing, and cutting a batch into micro-batches or processes changes the order of a sum and nothing else.
"""

import gc
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer, PrinterCallback
from transformers.utils.logging import disable_progress_bar
from trl import SFTTrainer

from conf.schema import Peft, Training
from training.arguments import lora_config, sft_config, warn_of_slow_bfloat16
from training.batches import PADDING_ROW, batch_order
from training.callbacks import MarkSaved, Progress, StopOnDivergence
from training.memory import check_memory, out_of_memory
from training.model_folder import check_names, load_base
from training.preflight import row_names
from training.resume import last_complete
from training.rows import IGNORED, labeled

disable_progress_bar()  # of loading and saving: seconds

LOGGED = ("step", "loss", "grad_norm", "learning_rate")


@dataclass(frozen=True)
class Trained:
    """Where the trainer left its weights (an adapter with LoRA), and what it took, in this process and since it began
    or was resumed. log: a dict per optimizer step: step, loss, grad_norm, learning_rate. untrained: tensors in the
    base's files that are no part of what was trained."""

    folder: Path
    num_steps: int
    resumed_from: int
    num_trained_tokens: int
    seconds: float
    log: list[dict[str, float]] = field(repr=False)
    untrained: list[str] = field(default_factory=list)

    def costs(self) -> dict[str, Any]:
        """For stats/training.json."""
        return {
            "steps": self.num_steps,
            "resumed_from_step": self.resumed_from,
            "trained_tokens": self.num_trained_tokens,
            "training_seconds": round(self.seconds, 2),
            "trained_tokens_per_second": round(self.num_trained_tokens / self.seconds, 1),
            "untrained_tensors": self.untrained,
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
    """Train the model in `base` on `rows` (columns of store.schemas.SFT, every row checked before).

    Works in `work` and goes on from the last complete trainer checkpoint there. Raises TrainingDiverged at the step
    whose loss is of no use, NotEnoughMemory, and ConfigError for an argument SFTConfig or LoraConfig does not take.
    """
    dataset, lengths, num_trained = labeled(rows)
    order = batch_order(lengths, training.batch_size, training.num_epochs, seed, training.length_grouping)
    batches = order.reshape(-1, training.batch_size)
    trained_until = np.concatenate(
        [[0], np.append(num_trained, 0)[batches].sum(axis=1).cumsum()]
    )  # the padding row is -1

    def batch_names(step: int) -> list[str]:
        batch = batches[step - 1]
        return row_names(rows.take(batch[batch != PADDING_ROW]))

    args = sft_config(training, seed, device == "cpu", work)
    check_memory(base, (np.append(lengths, 1), np.append(num_trained, 0), batches), peft, args, device)
    with out_of_memory():
        model = load_base(base)
        untrained = check_names(model, base)
        trainer = CompletionTrainer(
            model=model,
            args=args,
            train_dataset=dataset.select(np.where(order == PADDING_ROW, rows.num_rows, order)),
            processing_class=AutoTokenizer.from_pretrained(base),
            callbacks=[StopOnDivergence(batch_names), MarkSaved(), Progress(work.parent.name, trained_until)],
            peft_config=lora_config(peft, model),
        )
        del model
        trainer.remove_callback(PrinterCallback)
        warn_of_slow_bfloat16(args)
        resumed = last_complete(work)
        started = time.monotonic()
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    seconds = time.monotonic() - started
    folder = work / "trained"
    trainer.save_model(str(folder))  # every process has a part in it when weights are sharded
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    last, first = trainer.state.global_step, int(resumed.name.removeprefix("checkpoint-")) if resumed else 0
    log = [{key: entry[key] for key in LOGGED} for entry in trainer.state.log_history if "loss" in entry]
    trainer.accelerator.free_memory()
    del trainer
    gc.collect()  # the trainer, its model and its callbacks refer to each other
    if device == "cuda":
        torch.cuda.empty_cache()
    return Trained(folder, last, first, int(trained_until[last] - trained_until[first]), seconds, log, untrained)
