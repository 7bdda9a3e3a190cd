"""What is looked at after training: memory that is given back, and the loss that rounding costs."""

import gc
import weakref

import pytest
import torch
from transformers import AutoModelForCausalLM

from conf.schema import Peft, Training
from store.machine import model_tensors
from training import trainer
from training.model_folder import write_folder
from training.postflight import completion_loss, rounding_cost, spread

FULL = Peft(kind="none", args={})


def train(rows, base, work, learning_rate=1e-2):
    work.mkdir()
    training = Training(
        batch_size=8, num_epochs=1, length_grouping=True, max_length=None, on_empty="stop",
        stop_check={"num_prompts": 0, "max_tokens": 8, "min_rate": 0},
        args={"learning_rate": learning_rate, "bf16": False},
        throughput={"gradient_checkpointing": False, "save_strategy": "no"},
    )  # fmt: skip
    return trainer.train(rows, base, work, training, FULL, 0, "cpu")


def test_model_and_optimizer_are_gone_after_training(make_rows, tiny_model, tmp_path, monkeypatch):
    seen = []
    save = trainer.CompletionTrainer.save_model

    def note(self, *rest):
        seen.extend(weakref.ref(thing) for thing in (self, self.model, self.optimizer.optimizer))
        seen.extend(weakref.ref(weight) for weight in self.model.parameters())
        return save(self, *rest)

    monkeypatch.setattr(trainer.CompletionTrainer, "save_model", note)
    gc.disable()  # so that nothing but the trainer's own clearing can be the reason
    try:
        train(make_rows(8), tiny_model, tmp_path / "work")
        assert len(seen) > 10
        assert [reference() for reference in seen if reference() is not None] == []
    finally:
        gc.enable()


def test_the_loss_is_the_mean_over_trained_tokens(make_rows, tiny_model):
    rows = make_rows(5)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    losses, number = [], 0
    for row in rows.to_pylist():
        labels = [i if m else -100 for i, m in zip(row["input_ids"], row["completion_mask"], strict=True)]
        mean = model(torch.tensor([row["input_ids"]]), labels=torch.tensor([labels])).loss.item()
        losses.append(mean * sum(row["completion_mask"]))
        number += sum(row["completion_mask"])
    assert completion_loss(model, spread(rows, 5)) == pytest.approx(sum(losses) / number, rel=1e-5)


def test_the_cost_of_rounding_is_measured_on_what_is_published(make_rows, tiny_model, tmp_path):
    base, rows = tmp_path / "base", make_rows(8)
    AutoModelForCausalLM.from_pretrained(tiny_model).bfloat16().save_pretrained(base)
    for path in tiny_model.glob("token*"):
        (base / path.name).write_bytes(path.read_bytes())
    trained = train(rows, base, tmp_path / "work")
    write_folder(trained.folder, base, tmp_path / "rounded")
    cost = rounding_cost(trained.folder, base, tmp_path / "rounded", rows, "cpu")
    some = spread(rows, 16)
    exact, rounded = (
        completion_loss(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), some)
        for folder in (trained.folder, tmp_path / "rounded")
    )
    assert cost == {"dtype": "BF16", "rows": 8, "loss_float32": exact, "loss_published": rounded}
    assert exact != rounded

    write_folder(trained.folder, base, tmp_path / "whole", "float32")
    assert {tensor.dtype for tensor in model_tensors(tmp_path / "whole")} == {"F32"}
    assert rounding_cost(trained.folder, base, tmp_path / "whole", rows, "cpu") is None
