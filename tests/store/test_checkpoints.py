import json
import os

import pytest

from store.checkpoints import (
    CARD,
    RECORD,
    describe_folder,
    locate,
    publish_folder,
    publish_reference,
    read_record,
    verify_folder,
)
from store.errors import CorruptArtifact
from store.fingerprint import digest
from store.publish import write_atomic
from store.run import Run


@pytest.fixture
def checkpoint(tmp_path):
    work = tmp_path / ".work"
    work.mkdir()
    (work / "model.safetensors").write_bytes(os.urandom(5000))
    (work / "config.json").write_text("{}")
    target = tmp_path / "demo" / "iter_01" / "checkpoint"
    return target, publish_folder(work, target, {"lr": 1e-5}, {"sft": "abc"})


def test_a_published_folder_verifies_and_leaves_no_work_folder(checkpoint, tmp_path):
    target, record = checkpoint
    assert read_record(target / RECORD) == record
    verify_folder(target, record)
    assert not (tmp_path / ".work").exists()
    assert locate(Run("demo", tmp_path), 1) == (target, record)


def test_a_cached_model_recorded_in_format_1_is_used(checkpoint):
    target, record = checkpoint
    values = json.loads((target / RECORD).read_text())
    del values["record_digest"]
    values["stands_for"] = values.pop("alias_of")
    (target / RECORD).write_text(json.dumps(values | {"record_digest": digest(values)}))
    assert read_record(target / RECORD) == record


def test_a_card_can_be_added_and_rewritten_at_any_time(checkpoint):
    target, record = checkpoint
    for content in ("# a card", "# another card"):
        (target / CARD).write_text(content)
        verify_folder(target, record)
    assert CARD not in record.files


def test_every_flip_truncation_addition_and_removal_is_found(checkpoint):
    target, record = checkpoint
    weights = target / "model.safetensors"
    good = weights.read_bytes()
    damaged = [good[:i] + bytes([good[i] ^ 1]) + good[i + 1 :] for i in range(0, 5000, 17)] + [good[:-1], b""]
    for content in damaged:
        weights.write_bytes(content)
        with pytest.raises(CorruptArtifact, match=r"model\.safetensors"):
            verify_folder(target, record)
    weights.write_bytes(good)
    (target / "extra.json").write_text("{}")
    with pytest.raises(CorruptArtifact, match=r"extra\.json"):
        verify_folder(target, record)
    (target / "extra.json").unlink()
    (target / "config.json").unlink()
    with pytest.raises(CorruptArtifact, match=r"config\.json"):
        verify_folder(target, record)


@pytest.mark.parametrize("name", ["training_args.bin", "model.pt", "modeling_x.py", "weights.pkl"])
def test_what_can_hold_code_is_never_published(tmp_path, name):
    (tmp_path / name).write_text("x")
    with pytest.raises(CorruptArtifact, match=name):
        describe_folder(tmp_path)


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "outside.json").write_text("{}")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").symlink_to(tmp_path / "outside.json")
    with pytest.raises(CorruptArtifact, match="outside"):
        describe_folder(tmp_path / "model")


def test_a_checkpoint_by_reference_is_its_base(checkpoint, tmp_path):
    target, record = checkpoint
    run = Run("demo", tmp_path)
    publish_reference(run.iteration(2).checkpoint, record, target, {}, {})
    folder, reference = locate(run, 2)
    assert reference.digest == record.digest
    verify_folder(folder, reference)
    assert [entry.name for entry in run.iteration(2).checkpoint.iterdir()] == [RECORD]


def test_an_edited_record_is_refused(checkpoint):
    target, _ = checkpoint
    text = (target / RECORD).read_text()
    write_atomic(
        target / RECORD,
        text.replace('"bytes": 5000', '"bytes": 4999').replace(record_sha(text), "0" * 64).encode(),
        True,
    )
    with pytest.raises(CorruptArtifact, match="edited"):
        read_record(target / RECORD)


def record_sha(text):
    return text.split('"sha256": "')[1][:64]


def test_what_a_loader_would_open_must_be_a_file(tmp_path):
    (tmp_path / "vocab.json").symlink_to("nowhere")
    with pytest.raises(CorruptArtifact, match=r"vocab\.json is a link to nothing"):
        describe_folder(tmp_path)
    (tmp_path / "vocab.json").unlink()
    os.mkfifo(tmp_path / "vocab.json")
    with pytest.raises(CorruptArtifact, match=r"vocab\.json is a pipe or a device"):
        describe_folder(tmp_path)
    (tmp_path / "vocab.json").unlink()
    (tmp_path / "notes.txt.link").symlink_to("nowhere")  # what no loader reads
    assert describe_folder(tmp_path) == {}
