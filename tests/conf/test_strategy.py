"""The table of the eight strategies: which checkpoint answers, corrects and is fine-tuned in iteration n."""

import pytest

from conf.__main__ import composed
from conf.schema import Config
from conf.strategy import answers_from, corrects_with, fine_tunes_from, learned_from, samples_per_question
from conf.validation import validate
from store.run import Run

# strategy: (answers, corrects, fine-tuned) in iteration 3
TABLE = {
    "EIE": (3, 3, 2), "EIF": (3, 3, 0), "ENE": (3, 3, 2), "ENF": (3, 3, 0),
    "FIE": (0, 3, 2), "FIF": (0, 3, 0), "FNE": (0, 3, 2), "FNF": (0, 3, 0),
}  # fmt: skip


def config_of(*overrides: str) -> Config:
    return validate(composed(Run("demo"), ["device=cpu", "engine=fake", *overrides]))


@pytest.mark.parametrize(("strategy", "expected"), TABLE.items())
def test_each_letter_chooses_its_checkpoint(strategy, expected):
    config = config_of(f"strategy={strategy}")
    found = answers_from(config, 3), corrects_with(3), fine_tunes_from(config.strategy.fine_tuning, 3)
    assert found == expected


@pytest.mark.parametrize(
    ("strategy", "rows", "expected"),
    [("ENE", "last", {0, 1, 2}), ("ENF", "last", {2}), ("FNF", "all", {0, 1, 2}), ("ENE", "all", {0, 1, 2})],
)
def test_a_model_has_learned_from_its_rows_and_those_of_the_models_before_it(strategy, rows, expected):
    config = config_of(f"strategy={strategy}", f"training.rows={rows}")
    assert learned_from(config, 3) == expected
    assert learned_from(config, 0) == set()


@pytest.mark.parametrize(("setting", "expected"), [("strategy", 0), ("evolving", 3)])
def test_held_out_answers_follow_their_own_setting(setting, expected):
    config = config_of("strategy=FIF", f"eval.initialization={setting}")
    assert answers_from(config, 3, "test") == expected
    assert answers_from(config, 3, "train") == 0


def test_held_out_answers_have_one_correction():
    config = config_of("sampling.num_initial=4", "sampling.num_corrections=5", "eval.num_samples=2", "eval.rounds=3")
    assert samples_per_question(config, "train") == (4, 5, 1)
    assert samples_per_question(config, "validation") == samples_per_question(config, "test") == (2, 1, 3)
