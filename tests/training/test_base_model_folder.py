"""What a base model's folder is refused for, each with the file's name, before any library opens it."""

import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from store.checkpoints import describe_folder
from store.errors import ConfigError, CorruptArtifact
from store.machine import model_tensors
from store.tensors import INDEX
from training.base_model import folder as folder_of_model
from training.base_model.folder import check_model, require_space

CONFIG = {"model_type": "llama"}
FILES = {
    "config.json": json.dumps(CONFIG),
    "model.safetensors": save({"a": np.ones(1, dtype=np.float32)}),
    "tokenizer.json": "{}",
    "chat_template.jinja": "{{ messages }}",
}
TWO_PARTS = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})


def check(folder: Path) -> None:
    describe_folder(folder)
    check_model(folder)


@pytest.fixture
def folder(tmp_path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return tmp_path


def test_a_whole_folder_passes(folder):
    check(folder)
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    check(folder)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(CorruptArtifact, match=name.replace(".", r"\.")):
        check(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pytorch_model.bin", "pickle"),
        ("weights.pt", "pickle"),
        ("model.pkl", "pickle"),
        ("modeling_mine.py", "import os"),
        ("config.json", json.dumps(CONFIG | {"auto_map": {"AutoModel": "modeling_mine.Model"}})),
        ("tokenizer_config.json", '{"auto_map": {"AutoTokenizer": ["mine.Tokenizer", null]}, "chat_template": "x"}'),
        ("config.json", "{"),
        ("config.json", "[]"),
        ("config.json", "{}"),
        ("model-00002-of-00002.safetensors", "a shard of something else"),
        (INDEX, TWO_PARTS),
    ],
)
def test_a_file_that_does_not_belong_is_named(folder, name, content):
    (folder / name).write_text(content)
    with pytest.raises(CorruptArtifact, match=name.replace(".", r"\.")):
        check(folder)


def test_what_no_loader_reads_is_left_out(folder):
    files = describe_folder(folder)
    for name in ("README.md", ".gitattributes", "USE_POLICY.md", "logo.png", "notes.docx", "model.Q4.gguf"):
        (folder / name).write_text("x")
    for name in ("onnx", "original", ".git"):
        (folder / name).mkdir()
        (folder / name / "model.bin").write_text("x")
    check(folder)
    assert describe_folder(folder) == files


def test_with_an_index_only_its_weights_count(folder):
    """Mistral's folders hold consolidated.safetensors too. Without an index a loader would take both."""
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "consolidated.safetensors").write_bytes(weights)
    with pytest.raises(CorruptArtifact, match=r"move what is too much out .*consolidated\.safetensors"):
        check(folder)
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))
    check(folder)
    assert "consolidated.safetensors" not in describe_folder(folder)
    assert sum(tensor.size for tensor in model_tensors(folder)) == 1


def test_all_that_is_wrong_is_said_at_once(folder):
    (folder / "config.json").write_text(json.dumps(CONFIG | {"quantization_config": {"quant_method": "gptq"}}))
    (folder / "tokenizer.json").rename(folder / "tokenizer.model")
    (folder / "chat_template.jinja").unlink()
    (folder / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(CorruptArtifact) as refused:
        check(folder)
    for found in ("gptq", "no tokenizer.json", "save_pretrained", "chat template", "model.safetensors"):
        assert found in str(refused.value)
    for name in ("a.bin", "b.py"):
        (folder / name).write_text("x")
    with pytest.raises(CorruptArtifact, match=r"a\.bin can hold code; b\.py can hold code"):
        check(folder)


def test_an_adapter_alone_is_named_with_its_base(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "some/base"}')
    (tmp_path / "adapter_model.safetensors").write_bytes(FILES["model.safetensors"])
    with pytest.raises(CorruptArtifact, match=r"adapter alone .*some/base.*merge_and_unload"):
        check(tmp_path)


def test_an_adapter_beside_a_model_is_refused(folder):
    """transformers would train the adapter's base, vLLM sample from the model."""
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "some/base"}')
    with pytest.raises(CorruptArtifact, match=r"adapter beside a model .*some/base.*without the adapter's files"):
        check(folder)


def test_a_snapshot_of_the_hubs_cache_is_a_folder(folder, tmp_path_factory):
    """Its files are links to blobs beside the snapshots; anywhere else such links lead out of the folder."""
    home = tmp_path_factory.mktemp("models--owner--name")
    (home / "blobs").mkdir()
    for snapshot in (home / "snapshots" / "0123", home / "copies" / "0123"):
        snapshot.mkdir(parents=True)
        for number, path in enumerate(sorted(folder.iterdir())):
            shutil.copyfile(path, home / "blobs" / str(number))
            (snapshot / path.name).symlink_to(f"../../blobs/{number}")
    check(home / "snapshots" / "0123")
    assert describe_folder(home / "snapshots" / "0123") == describe_folder(folder)
    with pytest.raises(CorruptArtifact, match="outside its folder"):
        check(home / "copies" / "0123")


def test_a_link_out_of_the_folder_is_named(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "model.safetensors"
    outside.write_text("weights")
    (folder / "model.safetensors").unlink()
    os.symlink(outside, folder / "model.safetensors")
    with pytest.raises(CorruptArtifact, match=r"model\.safetensors links to"):
        check(folder)


def test_parts_must_be_those_of_the_index(folder):
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    (folder / INDEX).write_text(TWO_PARTS)
    with pytest.raises(CorruptArtifact, match=r"model-2\.safetensors"):
        check(folder)
    (folder / "model-2.safetensors").write_bytes(save({"b": np.ones(1, dtype=np.float32)}))
    check(folder)
    (folder / "model-2.safetensors").write_bytes(save({"c": np.ones(1, dtype=np.float32)}))
    with pytest.raises(CorruptArtifact, match=r"disagree on where tensor [bc] is"):
        check(folder)


@pytest.mark.parametrize("kind", ["F16", "F32", "F64"])
@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_a_number_that_is_none_is_found_wherever_it_is(folder, kind, number):
    values = np.ones(1000, dtype=f"f{int(kind[1:]) // 8}")
    (folder / "model.safetensors").write_bytes(save({"a": values}))
    check(folder)
    values[777] = float(number)
    (folder / "model.safetensors").write_bytes(save({"a": values}))
    with pytest.raises(CorruptArtifact, match=r"tensor a holds NaN or infinity"):
        check(folder)


def test_weights_cut_short_or_drawn_out_are_found(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for content in (*(whole[:length] for length in range(len(whole))), whole + b"\0"):
        path.write_bytes(content)
        with pytest.raises(CorruptArtifact, match=r"model\.safetensors"):
            check(folder)


def test_too_little_space_is_said_with_both_numbers(folder):
    free = shutil.disk_usage(folder).free
    require_space(folder, 1)
    with pytest.raises(ConfigError, match=r"GiB free and the model needs .*STASC_CACHE"):
        require_space(folder, 2 * free)


def test_who_waits_for_a_folder_that_its_holder_removes_makes_it_again(tmp_path, monkeypatch):
    work, waiting = tmp_path / "models" / ".demo.work", threading.Event()
    monkeypatch.setattr(folder_of_model, "print", lambda *_, **__: waiting.set(), raising=False)

    def second() -> None:
        with folder_of_model.exclusive(work):
            (work / "model").mkdir()

    with ThreadPoolExecutor(1) as pool:
        with folder_of_model.exclusive(work):
            other = pool.submit(second)
            assert waiting.wait(10)
            work.rmdir()
        other.result(10)
    assert (work / "model").is_dir()
