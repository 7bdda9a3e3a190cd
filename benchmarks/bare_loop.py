"""What one writes without a trainer: a loop over padded batches, with transformers' own loss."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from peft import get_peft_model
from transformers import AutoModelForCausalLM

from benchmarks.measure import clock
from conf.schema import Config
from training.arguments import lora_config
from training.batches import batch_order


class BareLoop:
    """One epoch over the rows, in the trainer's batches (seed 0), with its optimizer, schedule and precision."""

    def __init__(self, rows: pa.Table, base: Path, config: Config) -> None:
        self.rows, self.base, self.config = rows, base, config
        self.num_parameters = 0

    def train(self) -> tuple[float, list[float]]:
        """(seconds, loss of every step); loading the model does not count."""
        training, device = self.config.training, self.config.device
        model = AutoModelForCausalLM.from_pretrained(self.base, dtype=torch.float32).to(device)
        self.num_parameters = model.num_parameters()
        if (lora := lora_config(self.config.peft, model)) is not None:
            torch.manual_seed(0)
            model = get_peft_model(model, lora)
        model.train()
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        batches, losses = self.batches(), []
        started = clock(device)
        optimizer = torch.optim.AdamW(
            weights, lr=training.args["learning_rate"], weight_decay=training.args["weight_decay"], fused=True
        )
        for step, batch in enumerate(batches):
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate(step, len(batches))
            with torch.autocast(device, torch.bfloat16, enabled=training.args["bf16"]):
                loss = model(**{name: tensor.to(device) for name, tensor in batch.items()}, use_cache=False).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, training.args["max_grad_norm"])
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        return clock(device) - started, losses

    def learning_rate(self, step: int, num_steps: int) -> float:
        """Cosine, after a warm-up of the preset's share of steps."""
        rate, warmup = self.config.training.args["learning_rate"], self.config.training.args["warmup_steps"]
        warmup = math.ceil(warmup * num_steps) if warmup < 1 else warmup
        if step < warmup:
            return rate * step / warmup
        return rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (num_steps - warmup)))

    def batches(self) -> list[dict[str, torch.Tensor]]:
        """Return the trainer's batches, padded on the right; labels on the completion alone."""
        size = self.config.training.batch_size
        ids, masks = self.rows["input_ids"].to_pylist(), self.rows["completion_mask"].to_pylist()
        lengths = np.array(list(map(len, ids)))
        order = batch_order(lengths, size, 1, 0, self.config.training.length_grouping)
        return [padded([(ids[row], masks[row]) for row in batch]) for batch in order.reshape(-1, size)]


def padded(rows: list[tuple[list[int], list[int]]]) -> dict[str, torch.Tensor]:
    width = max(len(ids) for ids, _ in rows)
    return {
        "input_ids": torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in rows]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in rows]),
        "labels": torch.tensor(
            [
                [i if trained else -100 for i, trained in zip(ids, mask, strict=True)] + [-100] * (width - len(ids))
                for ids, mask in rows
            ]
        ),
    }
