"""What is published: the base's files with other numbers in the same tensors."""

import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from conf.schema import Peft, StopCheck, Training
from store.checkpoints import describe_folder
from store.errors import TrainingDiverged
from store.fingerprint import digest_file
from training.model_folder import sizes, write_folder
from training.postflight import require_stops, stop_rate, training_prompts
from training.trainer import train

LORA = Peft(kind="lora", args={"r": 4, "target_modules": "all-linear"})
FULL = Peft(kind="none", args={})


def trained(rows, base, work, peft=FULL, **args):
    work.mkdir()
    training = Training(
        batch_size=8, num_epochs=1, length_grouping=True, max_length=None, on_empty="stop",
        stop_check={"num_prompts": 0, "max_tokens": 8, "min_rate": 0},
        args={"learning_rate": 1e-2, "bf16": False} | args,
        throughput={"gradient_checkpointing": False, "save_strategy": "no"},
    )  # fmt: skip
    return train(rows, base, work, training, peft, 0, "cpu").folder


def tensors(folder):
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            found |= {(path.name, name): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return found


@pytest.fixture
def sharded_base(tiny_model, tmp_path):
    """The base in two bfloat16 files, its tied head stored a second time."""
    folder = tmp_path / "base"
    shutil.copytree(tiny_model, folder)
    state = {name: tensor.bfloat16() for name, tensor in load_file(folder / "model.safetensors").items()}
    state["lm_head.weight"] = state["model.embed_tokens.weight"].clone()
    (folder / "model.safetensors").unlink()
    names = sorted(state)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: state[name] for name in part}, folder / file, metadata={"format": "pt"})
    places = ", ".join(f'"{name}": "{file}"' for file, part in parts.items() for name in part)
    (folder / "model.safetensors.index.json").write_text('{"metadata": {}, "weight_map": {' + places + "}}")
    return folder


@pytest.mark.parametrize("peft", [FULL, LORA], ids=["full", "lora"])
def test_a_checkpoint_is_its_base_with_other_numbers_in_the_same_tensors(make_rows, sharded_base, tmp_path, peft):
    folder = trained(make_rows(16), sharded_base, tmp_path / "work", peft)
    write_folder(folder, sharded_base, tmp_path / "out")
    before, after = tensors(sharded_base), tensors(tmp_path / "out")
    assert {k: (t.shape, t.dtype) for k, t in before.items()} == {k: (t.shape, t.dtype) for k, t in after.items()}
    changed = {name for (_, name), tensor in after.items() if (tensor != before[_, name]).any()}
    assert any("q_proj" in name for name in changed)
    files, others = set(describe_folder(tmp_path / "out")), set(describe_folder(sharded_base)) - {"README.md"}
    assert files == others
    for name in others:
        if not name.endswith(".safetensors"):
            assert digest_file(tmp_path / "out" / name) == digest_file(sharded_base / name)
    assert not {path.name for path in (tmp_path / "out").iterdir()} - others


def test_the_published_weights_are_the_trained_ones(make_rows, tiny_model, tmp_path):
    folder = trained(make_rows(16), tiny_model, tmp_path / "work")
    write_folder(folder, tiny_model, tmp_path / "out")
    ids = torch.tensor([[5, 6, 7]])
    ours = AutoModelForCausalLM.from_pretrained(tmp_path / "out")(ids).logits
    assert torch.equal(ours, AutoModelForCausalLM.from_pretrained(folder)(ids).logits)


def test_a_merged_adapter_answers_as_the_base_with_the_adapter(make_rows, tiny_model, tmp_path):
    from peft import PeftModel

    folder = trained(make_rows(16), tiny_model, tmp_path / "work", LORA)
    write_folder(folder, tiny_model, tmp_path / "out")
    ids = torch.tensor([[5, 6, 7]])
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), str(folder))(ids).logits
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out")(ids).logits
    torch.testing.assert_close(merged, adapted)
    assert not torch.allclose(merged, AutoModelForCausalLM.from_pretrained(tiny_model)(ids).logits, atol=1e-3)


def test_a_folder_left_by_a_killed_export_is_made_anew(make_rows, tiny_model, tmp_path):
    folder = trained(make_rows(16), tiny_model, tmp_path / "work")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "half.json").write_text("{")
    write_folder(folder, tiny_model, tmp_path / "out")
    assert not (tmp_path / "out" / "half.json").exists()


def test_a_tensor_that_is_not_finite_is_never_published(make_rows, tiny_model, tmp_path):
    folder = trained(make_rows(16), tiny_model, tmp_path / "work")
    state = load_file(folder / "model.safetensors")
    state["model.norm.weight"][3] = float("nan")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainingDiverged, match=r"model\.norm\.weight"):
        write_folder(folder, tiny_model, tmp_path / "out")


def test_sizes_are_those_of_the_config(tiny_model):
    assert sizes(tiny_model) == (512, 256)


def test_a_model_that_learned_to_stop_passes_and_one_that_did_not_is_refused(make_rows, tiny_model, tmp_path):
    rows = make_rows(16)
    check = StopCheck(num_prompts=6, max_tokens=12, min_rate=0.5)
    with pytest.raises(TrainingDiverged, match=r"ends 0% of 6 training prompts within 12 tokens"):
        require_stops(tiny_model, rows, frozenset({2}), check, "cpu")
    short = {index: [*prompt, 2] for index, prompt in enumerate(training_prompts(rows, rows.num_rows))}
    masks = {index: [0] * (len(ids) - 1) + [1] for index, ids in short.items()}
    rows = make_rows(16, input_ids=short, completion_mask=masks)
    folder = trained(rows, tiny_model, tmp_path / "work")
    assert require_stops(folder, rows, frozenset({2}), check, "cpu") >= 0.5
    off = StopCheck(num_prompts=0, max_tokens=1, min_rate=1)
    assert require_stops(folder, rows, frozenset({2}), off, "cpu") is None


def test_prompts_of_different_lengths_are_answered_as_if_each_were_alone(make_rows, tiny_model):
    prompts = training_prompts(make_rows(20), 8)
    assert len({len(prompt) for prompt in prompts}) > 3
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    said = [int(model(torch.tensor([prompt])).logits[0, -1].argmax()) for prompt in prompts]
    for stop in said:  # so that some answers end with their first token and others do not
        alone = [stop_rate(model, [prompt], frozenset({stop}), 10) for prompt in prompts]
        assert 1 in alone
        assert stop_rate(model, prompts, frozenset({stop}), 10) == pytest.approx(sum(alone) / len(alone))


def test_at_most_as_many_prompts_as_there_are_rows(make_rows):
    rows = make_rows(3)
    expected = [row["input_ids"][: row["completion_mask"].index(1)] for row in rows.to_pylist()]
    assert training_prompts(rows, 8) == expected
