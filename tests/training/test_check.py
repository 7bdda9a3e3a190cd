"""What training would refuse after a whole generation is said before an engine starts."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from conf.__main__ import composed
from conf.validation import validate
from store.run import Run
from training.check import findings

CPU = ["device=cpu", "engine=fake", "data=local", "data.files.questions.path=x"]


def found(base, *overrides: str) -> list[str]:
    config = validate(composed(Run("demo"), [*CPU, *overrides]))
    return list(findings(config.training, config.peft, config.device, base))


def retensored(tiny_model, folder, change):
    """A copy of the tiny model with other tensors in its file."""
    shutil.copytree(tiny_model, folder)
    save_file(change(load_file(folder / "model.safetensors")), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("overrides", [[], ["peft=lora"], ["training=paper", "training.batch_size=3"]])
def test_what_can_be_trained_is_let_through(tiny_model, overrides):
    assert found(tiny_model, *overrides) == []


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["+training.args.learning_rat=1"], "learning_rat"),
        (["+training.args.max_steps=3"], "max_steps cannot be given"),
        (["peft=lora", "peft.args.target_modules=[query]"], "peft.args: Target modules"),
        (["peft=lora", "peft.args.target_modules=[embed_tokens]"], "modules_to_save=[embed_tokens]"),
        (["peft=lora", "+peft.args.rank=3"], "its names are those of peft.LoraConfig"),
    ],
)
def test_arguments_that_no_library_takes_are_named(tiny_model, overrides, said):
    (finding,) = found(tiny_model, *overrides)
    assert said in finding


def test_tensors_without_a_place_and_of_another_shape_are_named(tiny_model, tmp_path):
    def change(tensors):
        name = "model.layers.1.mlp.up_proj.weight"
        return {k: v for k, v in tensors.items() if "0.mlp.down" not in k} | {name: tensors[name][:-1].contiguous()}

    (finding,) = found(retensored(tiny_model, tmp_path / "model", change))
    assert "without a place in its files: model.layers.0.mlp.down_proj.weight" in finding.lower()
    assert "of another shape: model.layers.1.mlp.up_proj.weight" in finding


def test_a_type_that_transformers_does_not_know_is_named(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "lama"}))
    (finding,) = found(folder)
    assert "config.json: transformers makes no model of it" in finding and "lama" in finding


def test_generation_says_it_with_its_own_findings(workspace, tiny_model, tmp_path):
    """And starts no engine, and leaves the run's name to other settings."""
    folder = retensored(tiny_model, tmp_path / "model", lambda t: {k: v for k, v in t.items() if "0.mlp.down" not in k})
    settings = (f"model.path={folder}", "engine=transformers", "+sampling.args.n=2", "+training.args.learning_rat=1")
    workspace.start("wrong", *settings)
    done = workspace.stage("generation", "run=wrong", "iteration=0", check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    for words in ("sampling.args.n ", "learning_rat", "layers.0.mlp.down_proj"):
        assert words in done.stderr
    assert not (workspace.run("wrong") / "iter_00").exists()
    workspace.stage("conf", "run=wrong", "training.args.learning_rate=1e-4")
