"""`python -m training` on a run folder: what it reads, publishes and refuses."""

import json
import os
import subprocess
import sys

import pyarrow as pa
import pytest
import torch

import conf.__main__ as conf_main
from store.checkpoints import RECORD, Checkpoint, locate, read_record, verify_folder
from store.errors import (
    ConfigError,
    CorruptArtifact,
    FingerprintMismatch,
    NotEnoughMemory,
    NoTrainingRows,
    TrainingDiverged,
)
from store.publish import write_atomic
from store.shards import read_manifest
from tests.conftest import ROOT
from tests.training.runs import publish_rows, train, weights


def visible(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_rows_become_a_verified_checkpoint_with_its_parents_and_costs(make_run, make_rows):
    run = make_run()
    publish_rows(run, 0, make_rows(13), make_rows(8, seed=1))
    train(run)
    folder, record = locate(run, 1)
    verify_folder(folder, record)
    assert folder == run.iteration(1).checkpoint
    assert set(record.parents) == {"sft", "checkpoint"}
    assert record.parents["checkpoint"] == locate(run, 0)[1].digest != record.digest
    assert visible(run.iteration(1).dir) == ["checkpoint", "stats"]
    costs = json.loads((run.iteration(1).stats / "training.json").read_text())
    assert (costs["rows"], costs["steps"], costs["processes"]) == (21, 3, 1)
    assert [entry["step"] for entry in costs["log"]] == [1, 2, 3]
    masks = [mask for rows in (make_rows(13), make_rows(8, seed=1)) for mask in rows["completion_mask"].to_pylist()]
    assert costs["trained_tokens"] == sum(map(sum, masks))


@pytest.mark.parametrize(("fine_tuning", "base"), [("fixed", 0), ("evolving", 1)])
def test_the_strategy_decides_which_checkpoint_is_fine_tuned(make_run, make_rows, fine_tuning, base):
    run = make_run(f"strategy={ {'fixed': 'FIF', 'evolving': 'EIE'}[fine_tuning] }")
    publish_rows(run, 0, make_rows(16))
    publish_rows(run, 1, make_rows(16, seed=1))
    train(run, 1)
    train(run, 2)
    assert locate(run, 2)[1].parents["checkpoint"] == locate(run, base)[1].digest


def test_replay_trains_on_every_iterations_rows_once(make_run, make_rows):
    run, first, second = make_run("training.rows=all"), make_rows(16), make_rows(8, seed=1)
    publish_rows(run, 0, pa.concat_tables([first, first.slice(0, 3)]))
    publish_rows(run, 1, pa.concat_tables([first.slice(4, 8), second]))
    train(run, 1)
    train(run, 2)
    of_first, stats = (json.loads((run.iteration(n).stats / "training.json").read_text()) for n in (1, 2))
    assert (of_first["rows"], of_first["rows_kept"]) == (16, {"iter_00": 16 + 3})
    assert (stats["rows"], stats["rows_kept"]) == (16 + 8, {"iter_00": 16 + 3, "iter_01": 16})
    trained = pa.concat_tables([first, second])
    assert stats["trained_tokens"] == sum(map(sum, trained["completion_mask"].to_pylist()))
    parents = locate(run, 2)[1].parents
    assert parents["sft_00"] == read_manifest(run.iteration(0).sft).digest
    assert parents["sft"] == read_manifest(run.iteration(1).sft).digest

    publish_rows(run, 0, make_rows(16, seed=2))
    train(run, 1)
    train(run, 2)
    assert locate(run, 2)[1].parents["sft_00"] != parents["sft_00"]


def test_replay_goes_on_where_an_iteration_kept_no_row(make_run, make_rows):
    run = make_run("training.rows=all")
    publish_rows(run, 0, make_rows(16))
    publish_rows(run, 1)
    train(run, 1)
    train(run, 2)
    assert locate(run, 2)[1].alias_of is None
    assert json.loads((run.iteration(2).stats / "training.json").read_text())["rows"] == 16


def test_a_finished_stage_takes_under_a_second_and_no_torch(make_run, make_rows):
    run = make_run()
    publish_rows(run, 0, make_rows(16))
    train(run)
    code = (
        "import sys, time; import training.__main__ as stage; "
        f"stage.main(['run={run.name}', 'iteration=1']); print(time.process_time(), 'torch' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "complete" in done.stdout
    seconds, torch_imported = done.stdout.split()[-2:]
    assert torch_imported == "False"
    assert float(seconds) < 1


def test_another_setting_is_refused_with_its_name(make_run, make_rows):
    run = make_run()
    publish_rows(run, 0, make_rows(16))
    train(run)
    text = run.config.read_text()
    run.config.unlink()
    make_run("training.args.learning_rate=0.02")
    with pytest.raises(FingerprintMismatch, match=r"args\.learning_rate: 0\.01 -> 0\.02"):
        train(run)
    run.config.write_text(text)
    conf_main.main([f"run={run.name}", "training.throughput.per_device_train_batch_size=2"])
    train(run)  # only how fast: still complete


def test_rows_made_anew_move_the_checkpoint_aside_and_train_again(make_run, make_rows):
    run = make_run()
    publish_rows(run, 0, make_rows(16))
    train(run)
    old = weights(run)
    publish_rows(run, 0, make_rows(16, seed=1))
    train(run)
    assert weights(run) != old
    aside = run.iteration(1).dir / ".checkpoint.superseded-00"
    assert read_record(aside / RECORD).files["model.safetensors"]["sha256"] == old


def test_rows_that_cannot_be_trained_are_refused_before_anything_is_made(make_run, make_rows):
    run = make_run()
    lost_stop = {3: [*make_rows(16)["input_ids"][3].as_py()[:-1], 9]}
    publish_rows(run, 0, make_rows(8, seed=1), make_rows(16, input_ids=lost_stop))
    with pytest.raises(CorruptArtifact, match=r"(?s)24 rows.*1 rows: its last token is not.*q0/1/1") as refusal:
        train(run)
    assert "python -m filtering run=demo iteration=0" in str(refusal.value)
    assert not run.iteration(1).dir.exists()


def test_a_longer_row_than_allowed_is_refused_and_not_cut(make_run, make_rows):
    run = make_run("training.max_length=20")
    publish_rows(run, 0, make_rows(16))
    with pytest.raises(ConfigError, match=r"longer than training\.max_length"):
        train(run)


@pytest.mark.parametrize("damage", ["flipped weights", "missing rows", "edited rows", "foreign folder"])
def test_damaged_inputs_and_folders_in_the_way_are_refused(make_run, make_rows, tiny_model, damage):
    run = make_run()
    publish_rows(run, 0, make_rows(16))
    shard = next(run.iteration(0).sft.glob("*.parquet"))
    if damage == "flipped weights":
        base = run.dir / "base"
        subprocess.run(["cp", "-r", tiny_model, base], check=True)
        record = read_record(run.base_model)
        write_atomic(run.base_model, Checkpoint(record.files, record.digest, alias_of="base").to_json(), replace=True)
        content = bytearray((base / "model.safetensors").read_bytes())
        content[-1] ^= 1
        (base / "model.safetensors").write_bytes(content)
    elif damage == "missing rows":
        shard.unlink()
    elif damage == "edited rows":
        shard.write_bytes(shard.read_bytes()[:-1])
    else:
        run.iteration(1).checkpoint.mkdir(parents=True)
        (run.iteration(1).checkpoint / "model.safetensors").write_bytes(b"")
    with pytest.raises(CorruptArtifact):
        train(run)
    assert not (run.iteration(1).checkpoint / RECORD).exists()


COUNTS = {"i->c": 3, "c->i": 9, "c->c": 0, "i->i": 1788}
TRANSITIONS = {name: {"count": count, "rate": count / 1800} for name, count in COUNTS.items()}
METRICS = {"splits": {"train": {"num_pairs": 1800, "transitions": TRANSITIONS}}}


def test_without_rows_the_model_is_kept_by_reference_or_the_run_stops(make_run, make_rows, capsys):
    run = make_run("strategy=EIE", "training.on_empty=keep_model")
    publish_rows(run, 0)
    write_atomic(run.iteration(0).metrics, json.dumps(METRICS).encode())
    train(run)
    told = capsys.readouterr().out
    for words in ("kept none of 1,800 pairs", "1,788", "N_INIT", "strategy"):
        assert words in told
    assert visible(run.iteration(1).checkpoint) == [RECORD]
    assert locate(run, 1)[0].resolve() == locate(run, 0)[0].resolve()
    assert locate(run, 1)[1].digest == locate(run, 0)[1].digest
    train(run)
    assert "complete" in capsys.readouterr().out

    publish_rows(run, 1, make_rows(16))
    train(run, 2)  # trains on from the kept model
    assert locate(run, 2)[1].parents["checkpoint"] == locate(run, 0)[1].digest

    stopping = make_run("training.on_empty=stop", name="stopping")
    publish_rows(stopping, 0)
    write_atomic(stopping.iteration(0).metrics, json.dumps(METRICS).encode())
    with pytest.raises(NoTrainingRows, match=r"(?s)1,800 pairs.*on_empty=keep_model"):
        train(stopping)
    assert not stopping.iteration(1).checkpoint.exists()


def test_a_split_without_pairs_is_told_too(make_run, capsys):
    run = make_run("training.on_empty=keep_model")
    publish_rows(run, 0)
    nothing = {name: {"count": 0, "rate": None} for name in COUNTS}
    metrics = {"splits": {"train": {"num_pairs": 0, "transitions": nothing}}}
    write_atomic(run.iteration(0).metrics, json.dumps(metrics).encode())
    train(run)
    assert "kept none of 0 pairs" in capsys.readouterr().out


def test_the_losses_reach_an_experiment_tracker_and_stay_when_the_work_folder_goes(make_run, make_rows, monkeypatch):
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    run = make_run("training.throughput.report_to=tensorboard")
    publish_rows(run, 0, make_rows(8))
    train(run)
    (events,) = (run.iteration(1).logs / "tensorboard").rglob("events.out.tfevents.*")
    assert b"train/loss" in events.read_bytes()
    other = make_run("training.throughput.report_to=wandb", name="other")
    publish_rows(other, 0, make_rows(8))
    with pytest.raises(ConfigError, match="pip install wandb"):
        train(other)


def test_a_model_that_does_not_stop_is_not_published(make_run, make_rows):
    run = make_run(*(f"training.stop_check.{key}" for key in ("num_prompts=4", "max_tokens=4", "min_rate=1")))
    publish_rows(run, 0, make_rows(8))
    with pytest.raises(TrainingDiverged, match="training prompts within 4 tokens"):
        train(run)
    assert not run.iteration(1).checkpoint.exists()


def test_published_files_have_the_mode_of_the_umask(make_run, make_rows):
    run = make_run()
    publish_rows(run, 0, make_rows(8))
    old = os.umask(0o027)
    try:
        train(run)
    finally:
        os.umask(old)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in run.iteration(1).checkpoint.iterdir()}
    assert set(modes.values()) == {"0o640"}, modes


def test_a_stop_check_without_memory_ends_with_8(make_run, make_rows, monkeypatch):
    run = make_run("training.stop_check.num_prompts=4")
    publish_rows(run, 0, make_rows(8))
    from training import postflight

    monkeypatch.setattr(postflight, "stop_rate", lambda *rest: torch.empty(1 << 60, dtype=torch.uint8))
    with pytest.raises(NotEnoughMemory, match="ran out of memory"):
        train(run)
    assert not run.iteration(1).checkpoint.exists()


def test_float32_is_published_on_request_and_is_another_training(make_run, make_rows):
    run = make_run("training.publish_dtype=float32")
    publish_rows(run, 0, make_rows(8))
    train(run)
    assert read_record(run.iteration(1).checkpoint / RECORD).settings["publish_dtype"] == "float32"
    with pytest.raises(FingerprintMismatch, match=r"training\.publish_dtype"):
        make_run("training.publish_dtype=base")


def test_iteration_zero_is_not_trained(make_run):
    with pytest.raises(ConfigError, match=r"training\.base"):
        train(make_run(), 0)
