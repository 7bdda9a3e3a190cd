"""From the run's configuration to the stage's plain settings, and the command as a user runs it."""

import json
from dataclasses import replace

import pytest

from conf.__main__ import composed
from conf.validation import validate
from filtering.configured import settings_of
from store.errors import ConfigError
from store.run import Run


def settings(*overrides: str):
    return settings_of(validate(composed(Run("demo"), list(overrides))))


def test_compat_is_off_by_default():
    found = settings("strategy=ENF")
    assert (found.filter, found.scoring.chosen, found.compat) == ("non_decreasing", "answer_match", [])


def test_each_compat_switch_changes_its_own_setting():
    default = settings("strategy=ENF")
    equal_only = settings("strategy=ENF", "compat.equal_only_filter=true")
    assert (equal_only.filter, equal_only.scoring) == ("equal_only", default.scoring)
    whole_text = settings("strategy=ENF", "compat.whole_text_score=true")
    assert (whole_text.filter, whole_text.scoring.chosen) == (default.filter, "in_accuracy")
    assert set(whole_text.scoring.rewards) == set(default.scoring.rewards)
    crossing = settings("strategy=ENF", "compat.cross_pairing=true")
    assert crossing == replace(default, compat=["cross_pairing"])
    separate = settings("strategy=ENF", "compat.separate_training_prompt=true")
    assert replace(separate, compat=[], training_prompt=None) == default
    assert "{initial_answer}" in separate.training_prompt[-1]["content"]
    assert settings("strategy=STAR", "compat.separate_training_prompt=true").training_prompt is None
    with pytest.raises(ConfigError, match=r"prompt\.training lacks \{initial_answer\}"):
        settings("compat.separate_training_prompt=true", "prompt.training=[{role:user,content:'{question}'}]")


def test_a_filter_that_says_nothing_about_what_is_trained_is_refused():
    assert (settings("strategy=STAR").filter, settings("strategy=GOLD").filter) == ("correct", "gold")
    with pytest.raises(ConfigError, match=r"filter=improving does not fit strategy\.trains_on=gold_answers"):
        settings("strategy=GOLD", "strategy.filter=improving")
    with pytest.raises(ConfigError, match=r"which takes improving or non_decreasing"):
        settings("strategy=ENF", "strategy.filter=correct")


def test_every_option_of_the_filter_arrives():
    bounds = ("filter.max_copy_share=0.2", "filter.max_per_question=3")
    found = settings("filter.margin=0.1", "reward.threshold=0.7", *bounds)
    options = found.options
    assert (options.margin, options.max_copy_share, options.max_per_question) == (0.1, 0.2, 3)
    assert options.threshold == found.scoring.threshold == 0.7


def test_a_reward_or_a_marker_that_is_not_known_is_refused():
    with pytest.raises(ConfigError, match="reward accuracy is not known; there are in_accuracy, "):
        settings("reward.also=[accuracy]")
    assert settings("prompt.answer_marker='Final Answer:'").scoring.expects_marker
    with pytest.raises(ConfigError, match="'Lösung:' is not found as a marker"):
        settings("prompt.answer_marker='Lösung:'")


def test_the_command_filters_once_and_then_has_no_work(workspace):
    workspace.start("demo")
    missing = workspace.stage("filtering", "run=demo", "iteration=0", check=False)
    assert missing.returncode == 5 and "python -m generation run=demo iteration=0" in missing.stderr
    workspace.quick_stage("generation", "run=demo", "iteration=0")
    done = workspace.stage("filtering", "run=demo", "iteration=0")
    folder = workspace.run("demo") / "iter_00"
    metrics = json.loads((folder / "metrics.json").read_bytes())
    pairs = {split: entry["num_pairs"] for split, entry in metrics["splits"].items()}
    assert pairs == {"train": 20 * 2 * 3, "validation": 6, "test": 6}
    kept = metrics["splits"]["train"]["num_kept"]
    assert json.loads((folder / "sft" / "_MANIFEST.json").read_bytes())["written"] == kept
    assert f"kept {kept} of 120 train pairs" in done.stdout
    again = workspace.stage("filtering", "run=demo", "iteration=0")
    assert again.stdout == "iter_00 filtering: complete\n"
