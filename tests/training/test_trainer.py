"""Training on the real trainer with a model of 100,000 parameters."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM

from conf.schema import Peft, Training
from store.errors import ConfigError, TrainingDiverged
from store.fingerprint import digest_file
from training.arguments import MANAGED_ARGS, sft_config, split_batch
from training.batches import PADDING_ROW, batch_order
from training.resume import MARK, last_complete
from training.rows import labeled
from training.trainer import train

FULL = Peft(kind="none", args={})
LORA = Peft(kind="lora", args={"r": 4, "target_modules": "all-linear"})
SEED = 3


def settings(**changed):
    values = dict(
        batch_size=8, num_epochs=1, length_grouping=True, max_length=None, on_empty="stop",
        stop_check={"num_prompts": 0, "max_tokens": 8, "min_rate": 0},
        args={"learning_rate": 1e-3, "bf16": False},
        throughput={"gradient_checkpointing": False, "save_strategy": "no"},
    )  # fmt: skip
    for key, value in changed.items():
        values[key] = values[key] | value if isinstance(value, dict) else value
    return Training(**values)


@pytest.fixture
def run_train(tiny_model, tmp_path):
    def run(rows, training, peft=FULL, seed=SEED, base=tiny_model, work="work"):
        (tmp_path / work).mkdir(exist_ok=True)
        return train(rows, base, tmp_path / work, training, peft, seed, "cpu")

    return run


def weights(trained):
    return digest_file(next(trained.folder.glob("*.safetensors")))


def losses(trained):
    return [entry["loss"] for entry in trained.log]


def completion_loss(model, rows):
    """-log p of every trained token, one row at a time: no padding, no batch, no trainer."""
    found = []
    for row in rows.to_pylist():
        ids = torch.tensor([row["input_ids"]])
        with torch.no_grad():
            log_probs = model(ids).logits[0, :-1].log_softmax(-1)
        picked = log_probs.gather(1, ids[0, 1:, None])[:, 0]
        found += picked[torch.tensor(row["completion_mask"])[1:] == 1].tolist()
    return -np.array(found)


def test_exactly_the_masked_tokens_have_labels(make_rows):
    rows = make_rows(9)
    dataset, lengths, num_trained = labeled(rows)
    assert len(dataset) == rows.num_rows + 1
    for row, given in zip(dataset, rows.to_pylist(), strict=False):
        ids, mask = given["input_ids"], given["completion_mask"]
        expected = [token if bit else -100 for token, bit in zip(ids, mask, strict=True)]
        assert row == {"input_ids": ids, "labels": expected}
    assert dataset[rows.num_rows]["labels"] == [-100]
    assert lengths.tolist() == [len(row) for row in rows["input_ids"].to_pylist()]
    assert num_trained.tolist() == [sum(mask) for mask in rows["completion_mask"].to_pylist()]


def test_a_steps_loss_is_the_mean_over_the_trained_tokens_of_its_batch(make_rows, tiny_model, run_train):
    rows = make_rows(21)
    trained = run_train(rows, settings(args={"learning_rate": 0.0}))  # the model stays as it is
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    lengths = np.array([len(ids) for ids in rows["input_ids"].to_pylist()])
    batches = batch_order(lengths, 8, 1, SEED, grouped=True).reshape(-1, 8)
    expected = [completion_loss(model, rows.take(batch[batch != PADDING_ROW])).mean() for batch in batches]
    assert losses(trained) == pytest.approx(expected, rel=1e-5)
    assert trained.num_trained_tokens == len(completion_loss(model, rows))


def test_losses_are_those_of_trls_own_trainer_on_its_own_labels(make_rows, tiny_model, run_train, tmp_path):
    from trl import SFTConfig, SFTTrainer

    rows = make_rows(24)
    order = batch_order(np.array([len(ids) for ids in rows["input_ids"].to_pylist()]), 8, 1, SEED, grouped=True)
    config = SFTConfig(
        str(tmp_path / "trl"), use_cpu=True, bf16=False, completion_only_loss=True, max_length=None, logging_steps=1,
        train_sampling_strategy="sequential", per_device_train_batch_size=8, learning_rate=1e-3, num_train_epochs=1,
        gradient_checkpointing=False, save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    dataset = Dataset(rows.select(["input_ids", "completion_mask"])).select(order)
    theirs = SFTTrainer(str(tiny_model), config, train_dataset=dataset)
    theirs.train()
    expected = [entry["loss"] for entry in theirs.state.log_history if "loss" in entry]
    assert losses(run_train(rows, settings())) == pytest.approx(expected, rel=1e-4)


def test_the_same_rows_and_seed_give_the_same_weights_bit_for_bit(make_rows, run_train):
    rows = make_rows(21)
    first = run_train(rows, settings())
    assert weights(run_train(rows, settings(), work="again")) == weights(first)
    assert weights(run_train(rows, settings(), work="other", seed=SEED + 1)) != weights(first)


def test_micro_batches_change_the_speed_and_not_the_training(make_rows, run_train):
    rows = make_rows(21)
    whole = run_train(rows, settings())
    cut = run_train(rows, settings(throughput={"per_device_train_batch_size": 3}), work="cut")
    assert losses(cut) == pytest.approx(losses(whole), rel=1e-4)


@pytest.mark.parametrize("grouped", [True, False])
def test_training_lowers_the_loss(make_rows, run_train, grouped):
    trained = run_train(make_rows(40), settings(num_epochs=4, length_grouping=grouped, args={"learning_rate": 1e-2}))
    assert trained.num_steps == 20
    assert losses(trained)[-1] < losses(trained)[0] - 0.5


def test_an_infinite_loss_stops_at_its_step_and_names_the_batch(make_rows, run_train):
    rows = make_rows(24)
    with pytest.raises(TrainingDiverged, match=r"step 2 of 3, nothing was published.*q\d+/\d/\d") as stop:
        run_train(rows, settings(args={"learning_rate": 1e38, "max_grad_norm": 0.0}))
    lengths = np.array([len(ids) for ids in rows["input_ids"].to_pylist()])
    batch = batch_order(lengths, 8, 1, SEED, grouped=True).reshape(-1, 8)[1]
    for row in rows.take(batch).to_pylist():
        assert f"{row['question_id']}/{row['init_index']}/{row['corr_index']}" in str(stop.value)


def test_a_batch_without_any_trained_token_stops_training(make_rows, run_train):
    masked = {index: [0] * len(ids) for index, ids in enumerate(make_rows(8)["input_ids"].to_pylist())}
    with pytest.raises(TrainingDiverged, match=r"step 1 of 1.*no token was trained"):
        run_train(make_rows(8, completion_mask=masked), settings())


def test_saving_on_the_way_changes_no_weight_and_keeps_the_newest_only(make_rows, run_train, tmp_path):
    rows = make_rows(40)
    saving = settings(throughput={"save_strategy": "steps", "save_steps": 2})
    assert weights(run_train(rows, saving)) == weights(run_train(rows, settings(), work="unsaved"))
    assert last_complete(tmp_path / "work").name == "checkpoint-5"
    assert len(list((tmp_path / "work").glob("checkpoint-*"))) == 1


def test_only_a_complete_checkpoint_counts_however_new_the_others_are(tmp_path):
    for step in (2, 10, 9):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "optimizer.pt").write_bytes(b"state" * step)
    assert last_complete(tmp_path) is None
    (tmp_path / "checkpoint-2" / MARK).write_text('{"optimizer.pt": 10}')
    (tmp_path / "checkpoint-9" / MARK).write_text('{"optimizer.pt": 45}')
    assert last_complete(tmp_path).name == "checkpoint-9"
    (tmp_path / "checkpoint-9" / "optimizer.pt").write_bytes(b"sta")
    assert last_complete(tmp_path).name == "checkpoint-2"


def test_the_batch_is_shared_by_processes_and_micro_batches_without_a_rest():
    assert split_batch(8, 1, 8) == (8, 1)
    assert split_batch(8, 2, 8) == (4, 1)
    assert split_batch(8, 2, 3) == (2, 2)
    assert split_batch(6, 1, 4) == (3, 2)
    with pytest.raises(ConfigError, match="batch_size=8 cannot be shared by 3 processes"):
        split_batch(8, 3, 8)


@pytest.mark.parametrize("name", sorted(MANAGED_ARGS))
def test_what_the_stage_decides_cannot_be_given(name, tmp_path):
    with pytest.raises(ConfigError, match=name):
        sft_config(settings(args={name: 1}), SEED, True, tmp_path)


def test_an_unknown_argument_is_named(tmp_path):
    with pytest.raises(ConfigError, match="learning_rat"):
        sft_config(settings(args={"learning_rat": 1}), SEED, True, tmp_path)


def test_lora_trains_an_adapter_only(make_rows, run_train):
    trained = run_train(make_rows(24), settings(), LORA)
    assert (trained.folder / "adapter_config.json").exists()
    assert not (trained.folder / "model.safetensors").exists()
