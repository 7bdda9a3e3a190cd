"""The lists of settings that may differ: each key is a setting, and each list lets through what it names alone."""

import pytest

from conf.__main__ import composed, main
from conf.identity import AFTER_BASE_MODEL, EXECUTION, SAMPLE_SIZES, SCORING, is_among, same_but_seed, without
from conf.schema import Config
from conf.stored import experiment_of
from conf.validation import known_keys, validate
from store.run import Run


def settings(name: str, *overrides: str) -> dict:
    return validate(composed(Run(name), ["device=cpu", "engine=fake", *overrides])).model_dump(mode="json")


@pytest.mark.parametrize("keys", [EXECUTION, SCORING, SAMPLE_SIZES, AFTER_BASE_MODEL])
def test_every_listed_key_is_a_setting(keys):
    assert set(keys) <= set(known_keys(Config))


def test_a_key_stands_for_what_is_under_it():
    assert is_among("training.stop_check.min_rate", ["training.stop_check"])
    assert not is_among("training.stop_check_2", ["training.stop_check"])
    assert without({"a": {"b": 1, "bc": 2}, "d": 3}, ["a.b", "d"]) == {"a.bc": 2}


@pytest.mark.parametrize("override", ["seed=7", "launcher.workers=3", "training.on_empty=stop"])
def test_seed_and_speed_leave_runs_comparable(override):
    assert same_but_seed(settings("one")) == same_but_seed(settings("other", override))


@pytest.mark.parametrize("override", ["strategy=EIF", "sampling.num_initial=9", "data.seed=9", "reward=token_f1"])
def test_other_settings_make_another_experiment(override):
    assert same_but_seed(settings("one")) != same_but_seed(settings("one", override))


def test_runs_on_another_run_are_of_one_experiment_where_those_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        of_seed = ["device=cpu", "engine=fake", f"seed={seed}"]
        for name, overrides in {"pool": [], "eif": ["strategy=EIF"]}.items():
            main([f"run={name}-s{seed}", *of_seed, *overrides])
            main([f"run={name}-f1-s{seed}", f"like={name}-s{seed}", f"samples_of={name}-s{seed}", "reward=token_f1"])
    names = [f"{name}{reward}" for name in ("pool", "eif") for reward in ("", "-f1")]
    found = [{experiment_of(Run(f"{name}-s{seed}")) for seed in (0, 1)} for name in names]
    assert [len(of_seeds) for of_seeds in found] == [1, 1, 1, 1]
    assert len(set.union(*found)) == 4
