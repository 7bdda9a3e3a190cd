"""The trainer beside a bare transformers loop on the same batches, and beside TRL as it comes with padded batches.

Loading and saving the model count in none of them. The bare loop takes the batches of the trainer, so that their losses
can be compared step by step; TRL draws its own at random, and pads them.
"""

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from benchmarks import floor
from benchmarks.bare_loop import BareLoop
from benchmarks.measure import Row, alternate, clock, ratios
from benchmarks.model import model_settings
from benchmarks.place import Place
from benchmarks.texts import Sampler
from conf.schema import Config
from conf.stored import load
from generation.tokenization import ChatTokenizer
from store.checkpoints import locate
from store.schemas import SFT
from training import trainer

REPEATS = 2
SETTINGS = ("data.train=64", "data.validation=8", "data.test=8", "sampling.num_initial=1", "sampling.num_corrections=1")


def measure(place: Place) -> list[Row]:
    settings = (f"device={place.size.device}", *SETTINGS)
    run = place.start("texts", *settings, *model_settings(place))
    full, lora = load(run), load(place.configure("lora", *settings, "peft=lora"))
    folder = locate(run, 0)[0]
    rows = sft_rows(Sampler(run, full, ChatTokenizer(folder)), place.size.training_rows)
    return [
        row
        for name, config in (("full", full), ("LoRA", lora))
        for row in compare(name, Contestants(rows, folder, place.folder, config))
    ]


def sft_rows(sampler: Sampler, number: int) -> pa.Table:
    questions = [sampler.questions[i % len(sampler.questions)] for i in range(number)]
    return pa.Table.from_pylist(
        [
            {
                "question_id": row["question_id"],
                "init_index": 0,
                "corr_index": 0,
                "prompt": row["prompt"],
                "completion": [{"role": "assistant", "content": row["text"]}],
                "input_ids": row["prompt_token_ids"] + row["token_ids"],
                "completion_mask": [0] * len(row["prompt_token_ids"]) + [1] * len(row["token_ids"]),
            }
            for question in questions
            for row in sampler.samples([question])[1].to_pylist()
        ],
        schema=SFT,
    )


def compare(name: str, contestants: "Contestants") -> list[Row]:
    device = contestants.config.device
    took = alternate(
        REPEATS,
        stage=contestants.stage,
        bare=contestants.bare,
        trl=contestants.trl,
        flops=lambda: floor.matmul_rate(device),
    )
    tokens = contestants.num_tokens
    losses = zip(contestants.losses["stage"], contestants.losses["bare"], strict=True)
    difference = max(abs(ours / bare - 1) for ours, bare in losses)
    share = [
        100 * 6 * contestants.num_parameters * tokens / second / flops
        for second, flops in zip(took["stage"], took["flops"], strict=True)
    ]
    rows = [
        Row(f"{name}: tokens per second, the stage's trainer", [tokens / s for s in took["stage"]], "tokens/s"),
        Row(f"{name}: a bare transformers loop, the same batches", [tokens / s for s in took["bare"]], "tokens/s"),
        Row(f"{name}: TRL's defaults, padded random batches", [tokens / s for s in took["trl"]], "tokens/s"),
        Row(f"{name}: trainer / bare loop", ratios(took["bare"], took["stage"]), "x", at_least=1),
        Row(f"{name}: trainer / TRL's defaults", ratios(took["trl"], took["stage"]), "x", at_least=1.5),
        Row(f"{name}: largest difference of a step's loss, bare loop", [100 * difference], "%", at_most=1),
        Row(f"{name}: difference of the mean loss, TRL", [100 * contestants.difference_to_trl()], "%"),
    ]
    if name == "full":  # with adapters fewer operations are done than 6 for each parameter and token
        rows.append(Row(f"{name}: share of the matrix rate that training reaches (6 N)", share, "%"))
    return rows


class Contestants:
    """Three ways to train one epoch on the same rows; each returns its seconds and leaves its losses."""

    def __init__(self, rows: pa.Table, base: Path, scratch: Path, config: Config) -> None:
        self.rows, self.base, self.scratch, self.config = rows, base, scratch, config
        self.num_tokens = sum(map(len, rows["input_ids"].to_pylist()))
        self.num_parameters = 0
        self.losses: dict[str, list[float]] = {}

    def stage(self) -> float:
        with timed_training(self.config.device) as took:
            trained = trainer.train(
                self.rows, self.base, self.scratch / "work", self.config.training, self.config.peft, 0,
                self.config.device,
            )  # fmt: skip
        self.losses["stage"] = [entry["loss"] for entry in trained.log]
        gc.collect()
        return took[0]

    def trl(self) -> float:
        """SFTTrainer with its own batches, padding, head and preparation; precision, optimizer and rate are ours."""
        training = self.config.training
        args = SFTConfig(
            output_dir=str(self.scratch / "trl"), per_device_train_batch_size=training.batch_size, num_train_epochs=1,
            use_cpu=self.config.device == "cpu", logging_steps=1, disable_tqdm=True, save_strategy="no",
            report_to="none", gradient_checkpointing=False, max_length=None, **training.args,
        )  # fmt: skip
        columns = self.rows.drop_columns(["question_id", "init_index", "corr_index"]).to_pydict()
        sft = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(self.base, dtype=torch.float32), args=args,
            train_dataset=trainer.datasets.Dataset.from_dict(columns),
            processing_class=AutoTokenizer.from_pretrained(self.base),
            peft_config=trainer.lora_config(self.config.peft),
        )  # fmt: skip
        with timed_training(self.config.device) as took:
            sft.train()
        self.losses["trl"] = [entry["loss"] for entry in sft.state.log_history if "loss" in entry]
        del sft
        gc.collect()
        return took[0]

    def bare(self) -> float:
        loop = BareLoop(self.rows, self.base, self.config)
        took, self.losses["bare"] = loop.train()
        self.num_parameters = loop.num_parameters
        return took

    def difference_to_trl(self) -> float:
        """Of the epoch's mean loss, as a share; batches differ, so weights and losses on the way do too."""
        ours, theirs = (np.mean(self.losses[name]) for name in ("stage", "trl"))
        return abs(float(theirs / ours) - 1)


@contextlib.contextmanager
def timed_training(device: str) -> Iterator[list[float]]:
    """Give a list that will hold the seconds of the one `Trainer.train` inside."""
    took: list[float] = []
    train = transformers.Trainer.train

    def timed(self: Any, *args: Any, **kwargs: Any) -> Any:
        started = clock(device)
        result = train(self, *args, **kwargs)
        took.append(clock(device) - started)
        return result

    with mock.patch.object(transformers.Trainer, "train", timed):
        yield took
