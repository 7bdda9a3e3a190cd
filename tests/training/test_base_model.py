"""base_model.json names one model for good, wherever its folder is; a finished stage costs a fraction of a second."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import save

import conf.__main__
from conf.schema import Model
from store.checkpoints import locate, read_record
from store.errors import ConfigError, CorruptArtifact, FingerprintMismatch
from store.fingerprint import digest_file
from store.publish import write_atomic
from store.run import Run
from training.base_model import __main__ as base

ROOT = Path(__file__).parents[2]


def weights(number: float) -> bytes:
    """A safetensors file with one number."""
    return save({"a": np.array([number], dtype=np.float32)})


def write_folder(folder: Path, content: bytes = weights(1)) -> Path:
    """A model folder as far as this stage looks into one."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(content)
    (folder / "tokenizer.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    """A run with a model folder of the user's, made but not yet looked at."""
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "mine")
    conf.__main__.main(["run=t", "model.path=mine"])
    return Run("t")


def test_the_record_names_folder_files_and_digest(run):
    base.main(["run=t"])
    folder, record = locate(run, 0)
    assert folder.resolve() == Path("mine").resolve()
    assert record.alias_of == "../../mine"
    assert record.files["model.safetensors"]["sha256"] == digest_file(Path("mine/model.safetensors"))
    assert record.source == {"path": "mine"}


def test_a_folder_outside_the_clone_is_named_by_its_whole_path(tmp_path, monkeypatch):
    outside = write_folder(tmp_path / "outside")
    (tmp_path / "clone").mkdir()
    monkeypatch.chdir(tmp_path / "clone")
    conf.__main__.main(["run=t", f"model.path={outside}"])
    base.main(["run=t"])
    assert read_record(Run("t").base_model).alias_of == str(outside)


def test_again_changes_nothing(run):
    base.main(["run=t"])
    before = run.base_model.read_bytes(), run.base_model.stat().st_ino
    base.main(["run=t"])
    assert (run.base_model.read_bytes(), run.base_model.stat().st_ino) == before


def test_a_finished_stage_imports_no_heavy_library(run):
    base.main(["run=t"])
    heavy = ("torch", "transformers", "huggingface_hub", "vllm", "trl")
    program = (
        "import sys; from training.base_model.__main__ import main; main(['run=t']); "
        f"sys.exit(', '.join(name for name in {heavy} if name in sys.modules) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_changed_weight_is_refused(run):
    base.main(["run=t"])
    Path("mine/model.safetensors").write_bytes(weights(2))
    with pytest.raises(CorruptArtifact, match=r"mine/model\.safetensors"):
        base.main(["run=t"])


def remember_another_place(run: Run) -> None:
    """Let the record name a folder that is gone, as after a cache was moved."""
    record = replace(read_record(run.base_model), alias_of="../../gone")
    write_atomic(run.base_model, record.to_json(), replace=True)


def test_another_model_in_place_of_a_lost_one_is_refused(run):
    base.main(["run=t"])
    Path("mine").rename("lost")
    with pytest.raises(ConfigError, match=r"model\.path=mine is no folder"):
        base.main(["run=t"])
    remember_another_place(run)
    write_folder(Path("mine"), weights(2))
    with pytest.raises(FingerprintMismatch, match="gone is gone"):
        base.main(["run=t"])


def test_the_same_model_in_another_place_goes_on(run):
    base.main(["run=t"])
    remember_another_place(run)
    base.main(["run=t"])
    assert read_record(run.base_model).alias_of == "../../mine"


@pytest.mark.parametrize("path", ["missing", "a/b/c", "../elsewhere", "/missing"])
def test_a_path_that_is_neither_folder_nor_hub_id_is_named(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    conf.__main__.main(["run=t", f"model.path={path}"])
    with pytest.raises(ConfigError, match="no folder"):
        base.main(["run=t"])


NOT_PINNED = {"gemma-3-1b", "llama-3.2-1b", "phi-4-mini", "qwen3-1.7b", "smollm3"}


def test_sources_of_the_presets_are_pinned():
    for preset in (ROOT / "conf" / "model").glob("*.yaml"):
        model = Model.model_validate(yaml.safe_load(preset.read_text()))
        sources = [source for _, source in base.sources_of(model)]
        assert sources, preset
        if preset.stem not in NOT_PINNED:  # these are refused until a revision is given
            assert all(len(s.get("revision", s.get("sha256"))) in (40, 64) for s in sources), preset


def test_a_hub_id_may_name_its_revision():
    model = Model(name="any", license="unknown", path="owner/name@abc", hub=None, gguf=None)
    assert base.sources_of(model) == [("owner--name", {"hub": "owner/name", "revision": "abc"})]


def test_the_stage_says_what_it_did_and_exits_with_its_code(run, tmp_path):
    command = [sys.executable, "-m", "training.base_model", "run=t"]
    Path("mine/config.json").write_text(json.dumps({"model_type": "llama", "auto_map": {"AutoModel": "evil.Model"}}))
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert "auto_map" in done.stderr and "Traceback" not in done.stderr
