"""Random two-layer models of many families: trained a step, published, loaded again, compared with what was trained."""

import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
)

from conf.schema import Peft, Training
from store.errors import ConfigError, TrainingDiverged
from training.model_folder import load_base, load_trained, write_folder
from training.trainer import train

FULL = Peft(kind="none", args={})
LORA = Peft(kind="lora", args={"r": 4, "target_modules": "all-linear"})
TINY = dict(
    vocab_size=528, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=1, head_dim=16, max_position_embeddings=256, bos_token_id=1, eos_token_id=2, pad_token_id=2,
)  # fmt: skip
EXPERTS = dict(num_experts=2, num_experts_per_tok=1, moe_intermediate_size=32)
VISION = dict(
    hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
)
FAMILIES = {
    "llama": {}, "mistral": {}, "qwen2": {}, "qwen3": {}, "gemma": {}, "gemma2": {}, "gemma3_text": {}, "phi3": {},
    "olmo2": {}, "granite": {}, "smollm3": {},
    "mixtral": {"num_local_experts": 2, "num_experts_per_tok": 1}, "qwen3_moe": EXPERTS,
    "qwen2_moe": EXPERTS | {"shared_expert_intermediate_size": 32},
}  # fmt: skip


def save_base(folder, tiny_model, family, without_head=False, **settings):
    """A base model's folder of a family, in bfloat16, with the tiny model's tokenizer."""
    torch.manual_seed(0)
    if family == "gemma3_vision":
        text = TINY | dict(query_pre_attn_scalar=16, sliding_window=16)
        tokens = dict(image_token_index=5, boi_token_index=6, eoi_token_index=7)
        model = Gemma3ForConditionalGeneration(
            Gemma3Config(text_config=text, vision_config=VISION, mm_tokens_per_image=1, **tokens)
        )
    else:
        config = AutoConfig.for_model(family, **(TINY | FAMILIES[family] | settings))
        model = AutoModelForCausalLM.from_config(config)
    (model.model if without_head else model).to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return folder


def train_once(rows, base, work, peft=FULL, **args):
    work.mkdir()
    training = Training(
        batch_size=8, num_epochs=1, length_grouping=True, max_length=None, on_empty="stop",
        stop_check={"num_prompts": 0, "max_tokens": 8, "min_rate": 0},
        args={"learning_rate": 1e-2, "bf16": False} | args,
        throughput={"gradient_checkpointing": False, "save_strategy": "no"},
    )  # fmt: skip
    return train(rows, base, work, training, peft, 0, "cpu")


def logits(model, ids):
    with torch.inference_mode():
        return model.eval()(torch.tensor([ids]), use_cache=False).logits[0].float()


def assert_published_is_trained(trained, base, out, dtype="float32"):
    """The published folder, loaded by transformers alone, gives the trained model's logits."""
    write_folder(trained.folder, base, out, dtype)
    ids = list(range(5, 25))
    published = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    ours = logits(load_trained(trained.folder, base), ids)
    torch.testing.assert_close(logits(published, ids), ours, rtol=1e-4, atol=1e-4)
    before = logits(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), ids)
    assert (ours - before).abs().max() > 1e-2  # something was trained


EVERY_PASS = ("llama", "gemma3_text", "mixtral", "qwen2_moe")  # the others differ from these in shapes alone


@pytest.mark.parametrize("peft", [FULL, LORA], ids=["full", "lora"])
@pytest.mark.parametrize(
    "family",
    [family if family in EVERY_PASS else pytest.param(family, marks=pytest.mark.nightly)
     for family in (*FAMILIES, "gemma3_vision")],
)  # fmt: skip
def test_a_family_is_published_as_trained(make_rows, tiny_model, tmp_path, family, peft):
    base = save_base(tmp_path / "base", tiny_model, family)
    trained = train_once(make_rows(8), base, tmp_path / "work", peft)
    assert trained.untrained == []
    assert_published_is_trained(trained, base, tmp_path / "out")
    names = [set(load_file(folder / "model.safetensors")) for folder in (base, tmp_path / "out")]
    assert names[0] == names[1]


def test_rounding_to_the_base_keeps_logits_near(make_rows, tiny_model, tmp_path):
    base = save_base(tmp_path / "base", tiny_model, "qwen3")
    trained = train_once(make_rows(8), base, tmp_path / "work")
    write_folder(trained.folder, base, tmp_path / "out")
    state, exact = load_file(tmp_path / "out" / "model.safetensors"), load_file(trained.folder / "model.safetensors")
    assert all(torch.equal(tensor, exact[name].bfloat16()) for name, tensor in state.items())


def test_files_without_prefix_and_tied_head_are_published(make_rows, tiny_model, tmp_path):
    base = save_base(tmp_path / "base", tiny_model, "llama", without_head=True, tie_word_embeddings=True)
    assert "embed_tokens.weight" in load_file(base / "model.safetensors")
    trained = train_once(make_rows(8), base, tmp_path / "work")
    assert_published_is_trained(trained, base, tmp_path / "out")
    assert "embed_tokens.weight" in load_file(tmp_path / "out" / "model.safetensors")


def test_a_missing_head_is_refused_before_training(make_rows, tiny_model, tmp_path):
    base = save_base(tmp_path / "base", tiny_model, "llama", without_head=True)
    with pytest.raises(ConfigError, match=r"no weights for lm_head\.weight.*at random"):
        train_once(make_rows(8), base, tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


def test_tensors_outside_the_model_are_copied_and_named(make_rows, tiny_model, tmp_path):
    base = save_base(tmp_path / "base", tiny_model, "llama")
    extra = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.arange(8.0), "model.mtp.weight": torch.ones(3, 2)}
    save_file(load_file(base / "model.safetensors") | extra, base / "model.safetensors", metadata={"format": "pt"})
    trained = train_once(make_rows(8), base, tmp_path / "work")
    assert trained.untrained == sorted(extra)
    write_folder(trained.folder, base, tmp_path / "out")
    state = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(state[name], tensor) for name, tensor in extra.items())


@pytest.mark.parametrize("modules", [["embed_tokens"], ["lm_head"], ["embed_tokens", "lm_head"]], ids="+".join)
def test_lora_trains_tied_embeddings_as_one(make_rows, tiny_model, tmp_path, modules):
    peft = Peft(kind="lora", args={"r": 4, "target_modules": ["q_proj"], "modules_to_save": modules})
    base = save_base(tmp_path / "base", tiny_model, "llama", tie_word_embeddings=True)
    trained = train_once(make_rows(8), base, tmp_path / "work", peft)
    assert_published_is_trained(trained, base, tmp_path / "out")
    old, new = (load_file(folder / "model.safetensors") for folder in (base, tmp_path / "out"))
    assert not torch.equal(old["model.embed_tokens.weight"].float(), new["model.embed_tokens.weight"])


@pytest.mark.parametrize(
    ("targets", "tied"),
    [(["q_proj", "embed_tokens"], True), ("model.*(q_proj|embed_tokens)", True), (["lm_head", "q_proj"], False)],
)
def test_adapters_that_cannot_be_merged_are_refused(make_rows, tiny_model, tmp_path, targets, tied):
    peft = Peft(kind="lora", args={"r": 4, "target_modules": targets})
    base = save_base(tmp_path / "base", tiny_model, "llama", tie_word_embeddings=tied)
    with pytest.raises(ConfigError, match=r"target_modules.*modules_to_save=\["):
        train_once(make_rows(8), base, tmp_path / "work", peft)


def test_adapters_on_untied_embeddings_are_merged(make_rows, tiny_model, tmp_path):
    peft = Peft(kind="lora", args={"r": 4, "target_modules": ["q_proj", "embed_tokens"]})
    base = save_base(tmp_path / "base", tiny_model, "llama")
    trained = train_once(make_rows(8), base, tmp_path / "work", peft)
    assert_published_is_trained(trained, base, tmp_path / "out")


def test_an_untied_pair_is_never_published_as_one(tiny_model, tmp_path):
    base = save_base(tmp_path / "base", tiny_model, "llama", tie_word_embeddings=True)
    config = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], modules_to_save=["embed_tokens"])
    model = get_peft_model(load_base(base), config)  # without ensure_weight_tying
    with torch.no_grad():
        model.get_input_embeddings().weight.add_(1)
    model.save_pretrained(tmp_path / "adapter")
    with pytest.raises(TrainingDiverged, match="one matrix for both"):
        write_folder(tmp_path / "adapter", base, tmp_path / "out")


def test_generation_settings_that_cannot_be_saved_are_copied(make_rows, tiny_model, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    text = '{"do_sample": false, "temperature": 0.6, "top_p": 0.9, "eos_token_id": 2}'
    (base / "generation_config.json").write_text(text)
    with pytest.raises(ValueError, match="temperature"):
        AutoModelForCausalLM.from_pretrained(base).save_pretrained(tmp_path / "refused")
    for name, peft in (("full", FULL), ("lora", LORA)):
        trained = train_once(make_rows(8), base, tmp_path / name, peft)
        write_folder(trained.folder, base, tmp_path / f"{name}-out")
        assert (tmp_path / f"{name}-out" / "generation_config.json").read_text() == text


def test_float32_keeps_the_trained_numbers(make_rows, tiny_model, tmp_path):
    base = save_base(tmp_path / "base", tiny_model, "gemma2")
    trained = train_once(make_rows(8), base, tmp_path / "work")
    write_folder(trained.folder, base, tmp_path / "out", "float32")
    model = load_base(tmp_path / "out")
    assert AutoConfig.from_pretrained(tmp_path / "out").dtype == torch.float32
    exact = load_trained(trained.folder, base).state_dict()
    assert all(torch.equal(tensor, exact[name]) for name, tensor in model.state_dict().items())
