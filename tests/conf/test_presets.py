"""The presets of conf/: each composes, brings what it says, and is refused with the way on where there is none."""

import pytest

from conf.__main__ import FOLDER, composed
from conf.overrides import as_meant
from conf.validation import validate
from store.errors import ConfigError
from store.run import Run

PATHS = ["data.files.questions.path=x.jsonl"]
SPLIT_PATHS = [f"data.files.{split}.path=x.jsonl" for split in ("train", "validation", "test")]
NEEDED = {"data/local": PATHS, "data/local_splits": SPLIT_PATHS, "pass_rate/between": ["data.pass_rate.run=pool"],
          "data/hub": ["data.hub.repo=someone/questions"], "reward/python": ["reward.function=mine.py:score"],
          "reward/unit_tests": ["data=mbpp"], "prompt/code": ["data=mbpp"],
          "reward/weighted": ["reward.weights={token_f1:1,numeric:0.5}"], "reward/judge": ["judge=model"],
          "judge/model": ["reward=judge"], "data/svamp": PATHS,
          "judge/endpoint": ["reward=judge", "judge.model=m", "judge.endpoint=http://127.0.0.1:8000/v1"]}  # fmt: skip
for several in ("prompt/aggregate", "prompt/skills_aggregate"):
    NEEDED[several] = ["sampling.num_initial=3", "eval.num_samples=3"]
NOT_PINNED = {"data/hub", "data/nq_paper", "data/hotpot_qa", "data/web_questions"}
MODELS_NOT_PINNED = ("gemma-3-1b", "llama-3.2-1b", "phi-4-mini", "qwen3-1.7b", "smollm3")
PRESETS = sorted(
    f"{preset.parent.name}/{preset.stem}" for preset in FOLDER.glob("*/*.yaml") if preset.parent.name != "sweep"
)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_composes_and_fits_the_schema(preset):
    overrides = [preset.replace("/", "="), *NEEDED.get(preset, [])]
    if preset in NOT_PINNED:
        overrides.append("data.allow_unpinned=true")
    if preset.removeprefix("model/") in MODELS_NOT_PINNED:
        overrides.append(f"model.hub.revision={'0' * 40}")
    config = validate(composed(Run("demo"), overrides))
    assert config.run == "demo"


@pytest.mark.parametrize("model", MODELS_NOT_PINNED)
def test_a_model_without_its_revision_is_refused(model):
    with pytest.raises(ConfigError, match=rf"model={model} names no revision of .*model\.hub\.revision=<commit>"):
        validate(composed(Run("demo"), [f"model={model}"]))
    assert validate(composed(Run("demo"), [f"model={model}", "model.path=somewhere/else"])).model.name == model


def test_a_processor_without_bfloat16_computes_in_float32():
    config = validate(composed(Run("demo"), ["device=cpu_avx2", "engine.args.max_model_len=4096"]))
    assert (config.device, config.engine.args["dtype"], config.training.args["bf16"]) == ("cpu", "float32", False)
    assert config.engine.throughput["max_num_batched_tokens"] == 4096, "vLLM refuses fewer than max_model_len"


@pytest.mark.parametrize("device", ["cpu", "cpu_avx2", "cuda"])
def test_a_choice_on_the_command_line_wins_over_the_devices_default(device):
    values = composed(Run("demo"), [f"device={device}", "model=phi-3-mini", "sampling=paper", "data.train=7"])
    assert (values["model"]["name"], values["sampling"]["max_tokens"], values["data"]["train"]) == (
        "phi-3-mini",
        256,
        7,
    )


@pytest.mark.parametrize(("given", "prompt", "reward"), [
    (["data=skills"], "skills", "exact_match"),
    (["data=skills", "prompt=qa", "reward=numeric"], "qa", "numeric"),
    (["data=skills", "recipe=skills_verdict"], "skills_verdict", "exact_match"),
    (["data=mbpp"], "code", "unit_tests"),
    (["data=humaneval"], "code", "unit_tests"),
    (["recipe=verdict"], "verdict", "answer_match"),
    (["recipe=verdict", "prompt=qa_cot"], "qa_cot", "answer_match"),
    ([], "qa", "answer_match"),
])  # fmt: skip
def test_a_data_set_may_bring_its_prompt_and_reward_a_recipe_wins_and_what_is_given_before_both(given, prompt, reward):
    values = composed(Run("demo"), given)
    assert (values["prompt"]["name"], values["reward"]["name"]) == (prompt, reward)


def test_recipes_are_presets_of_the_settings_that_they_are_called_after():
    changed = {
        "siblings": ("filter", "pairing", "siblings"), "both": ("strategy", "trains_on", "both"),
        "replay": ("training", "rows", "all"),
    }  # fmt: skip
    for recipe, (section, key, value) in changed.items():
        assert composed(Run("demo"), [f"recipe={recipe}"])[section][key] == value
    for recipe in ("aggregate", "skills_aggregate"):
        config = validate(composed(Run("demo"), [f"recipe={recipe}"]))
        assert config.prompt.num_answers == config.eval.num_samples == config.sampling.num_initial == 3


@pytest.mark.parametrize(("given", "words"), [
    ("model=qwen3", ["did you mean qwen3-1.7b? There are: gemma-3-1b, ", "smollm3. A model without a preset: model.p"]),
    ("data=mine", ["data=mine is not a preset. There are: ", "`python -m data file=<file>`"]),
    ("strategy=EIF,FIE", ["strategy=EIF,FIE is not a preset; `.venv/bin/python sweep.py --multirun name=grid str"]),
])  # fmt: skip
def test_a_preset_that_there_is_not_says_how_to_go_on(given, words):
    with pytest.raises(ConfigError) as error:
        composed(Run("demo"), [as_meant(given)])
    assert all(each in str(error.value) for each in words), error.value
