"""Rewards: SQuAD's as torchmetrics computes them, numbers as decimals, and no score where none could be computed."""

import random
import sys
import unicodedata
from decimal import Decimal

import numpy as np
import pytest

from filtering import rewards
from filtering.rewards import REWARDS
from filtering.rewards.final_answer import final_answer
from filtering.rewards.normalize import SQUAD_TOKENS
from store.errors import BadInput, ConfigError

WORDS = ["the", "a", "an", "Paris", "paris", "Paris,", "Mary's", "1,000", "u.s.", "co-op", "(the)", "'quoted'", "-"]


@pytest.mark.parametrize("name", REWARDS)
def test_every_reward_gives_one_float32_per_text(name):
    scores = REWARDS[name](["4", "", "five"], [["4"], ["4"], ["4", "9"]])
    assert scores.dtype == np.float32
    assert scores.tolist() == [1, 0, 0]
    assert REWARDS[name]([], []).shape == (0,)


def test_exact_match_and_token_f1_are_torchmetrics_squad():
    from torchmetrics.functional.text import squad

    rng = random.Random(0)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, 4))) for _ in range(200)]
    golds = [[" ".join(rng.choices(WORDS, k=rng.randint(1, 3))) for _ in range(3)] for _ in texts]
    golds = [[alias for alias in aliases if SQUAD_TOKENS([alias]) != [" "]] or ["Rome"] for aliases in golds]
    answers = [{"answer_start": [0] * len(aliases), "text": aliases} for aliases in golds]
    oracle = [
        squad([{"prediction_text": text, "id": "0"}], [{"answers": answer, "id": "0"}])
        for text, answer in zip(texts, answers, strict=True)
    ]
    exact_match = [float(scores["exact_match"]) / 100 for scores in oracle]
    token_f1 = [float(scores["f1"]) / 100 for scores in oracle]
    assert rewards.exact_match(texts, golds).tolist() == exact_match
    np.testing.assert_allclose(rewards.token_f1(texts, golds), token_f1, rtol=1e-6)
    assert 10 < sum(exact_match) < 190 and len(set(token_f1)) > 5


@pytest.mark.parametrize("name", ["exact_match", "token_f1", "in_accuracy"])
def test_spelling_in_nfc_or_nfd_does_not_matter(name):
    text, alias = "the Ángel of Café Müller", "Ángel of Café Müller"
    for form in ("NFC", "NFD"):
        assert REWARDS[name]([unicodedata.normalize(form, text)], [[alias]]) == [1]


@pytest.mark.parametrize("name", ["exact_match", "token_f1", "in_accuracy", "in_accuracy_final"])
@pytest.mark.parametrize("alias", ["*", "---", "the"])
def test_an_alias_without_tokens_never_scores(name, alias):
    assert REWARDS[name](["*", "", "the", "---"], [[alias]] * 4).tolist() == [0, 0, 0, 0]


def test_only_the_final_answer_counts_but_for_in_accuracy():
    text, golds = ["Paris? No.\nFinal Answer: London"], [["Paris"]]
    assert rewards.in_accuracy(text, golds) == [1]
    for name in ("in_accuracy_final", "exact_match", "token_f1"):
        assert REWARDS[name](text, golds) == [0]


NUMBERS = {
    "She makes $18 every day.": "18",
    "9 * 2 = 18": "18",
    "#### 18": "18",
    "\\boxed{1,234.50}$": "1234.5",
    "-7": "-7",
    "−7 degrees": "-7",
    "it lost -$3.20.": "-3.2",
    "from 10-18": "18",
    "x is .5": "0.5",
    "Final Answer: 42 eggs\n\n(that is 3.5 dozen)": "42",
    "1,2,3": "3",
    "15%": "15",
}


@pytest.mark.parametrize("text", NUMBERS)
def test_the_last_number_of_the_final_answer_is_read(text):
    assert rewards.last_number(final_answer(text)) == Decimal(NUMBERS[text])
    assert rewards.numeric([text], [[NUMBERS[text]]]) == [1]
    assert rewards.numeric([text], [["123456"]]) == [0]


def test_gsm8k_rationales_are_gold_answers_too():
    gold = "Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 duck eggs a day.\n#### 18"
    assert rewards.numeric(["18.00", "9"], [[gold]] * 2).tolist() == [1, 0]


def test_a_gold_answer_without_a_number_is_refused():
    with pytest.raises(BadInput, match="'Paris' holds no number"):
        rewards.numeric(["18"], [["Paris"]])


SYMBOLIC = [
    ("The answer is $\\frac{2}{4}$.", "\\frac{1}{2}", 1),
    ("0.5", "\\frac{1}{2}", 1),
    ("so \\boxed{(3, \\frac{\\pi}{2})}", "\\left( 3, \\frac{\\pi}{2} \\right)", 1),
    ("**Final Answer:** $x^2 + 2x + 1$", "(x+1)^2", 1),
    ("$\\frac{1}{3}$", "\\frac{1}{2}", 0),
    ("I do not know", "\\frac{1}{2}", 0),
]


@pytest.mark.parametrize(("text", "gold", "score"), SYMBOLIC)
def test_symbolic_compares_by_value(text, gold, score):
    assert rewards.symbolic([text], [[gold]]) == [score]


def test_symbolic_refuses_a_gold_answer_it_cannot_read():
    with pytest.raises(BadInput, match="no mathematical expression"):
        rewards.symbolic(["1"], [["$"]])


def test_symbolic_scores_nan_not_zero_where_the_comparison_fails(monkeypatch):
    import math_verify

    def fails(*args, **kwargs):
        raise RecursionError("maximum recursion depth exceeded")

    monkeypatch.setattr(math_verify, "verify", fails)
    assert np.isnan(rewards.symbolic(["$x$"], [["x"]])).all()


def test_symbolic_without_its_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "math_verify", None)
    with pytest.raises(ConfigError, match="pip install math-verify"):
        rewards.symbolic(["1"], [["1"]])
