"""What all rewards have in common, and SQuAD's as torchmetrics computes them."""

import random
import unicodedata

import numpy as np
import pytest

from filtering import rewards
from filtering.rewards import GOLD_PROBLEMS, REWARDS
from filtering.rewards.normalize import SQUAD_TOKENS

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


THOUGHT = [  # what is thought, and what is answered
    "<think>Four? No.</think>\n\n5", "<think>\nthe answer is 4\n</think>5",
    "the answer is 4, or \\boxed{4}\n</think>\n5",
    "analysisThe user asks for 4.assistantfinal5", "<answer>5</answer>", "[THINK]4[/THINK]5",
]  # fmt: skip


@pytest.mark.parametrize("name", REWARDS)
@pytest.mark.parametrize("text", THOUGHT)
def test_thoughts_are_never_scored(name, text):
    assert REWARDS[name]([text] * 2, [["4"], ["5"]]).tolist() == [0, 1]


@pytest.mark.parametrize("name", REWARDS)
def test_where_only_thoughts_are_there_no_answer_is(name):
    assert REWARDS[name](["<think>It is 5", "<think>5</think>", "5"], [["5"]] * 3).tolist() == [0, 0, 1]


TYPOGRAPHY = [
    ("Oslo。", "Oslo"), ("オスロ！", "オスロ"), ("أوسلو؟", "أوسلو"), ("«Oslo»", "Oslo"),
    ("Oslo…", "Oslo"), ("O’Hara", "O'Hara"),
    ("Jean‑Luc", "Jean-Luc"), ("ﬂute", "flute"), ("Os\u00adlo", "Oslo"),
    ("−5", "-5"), ("$\\text{Oslo}$", "Oslo"), ("(B)", "B"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "gold"), TYPOGRAPHY)
def test_exact_match_drops_punctuation_of_any_script(text, gold):
    assert rewards.exact_match([text, f"{text} x"], [[gold]] * 2).tolist() == [1, 0]
    assert rewards.token_f1([text], [[gold]]) == [1]


@pytest.mark.parametrize(
    ("name", "gold", "problem"),
    [
        ("in_accuracy", "A+", "no letter or digit"), ("in_accuracy", "1 + 1 = 2\n#### 2", "worked solution"),
        ("answer_match", "---", "no letter or digit"), ("answer_match", "東京", None),
        ("exact_match", "the", "no letter"),
        ("exact_match", "so \\boxed{2}", "worked solution"),
        ("token_f1", "Oslo", None), ("numeric", "Oslo", "no number"),
        ("numeric", "1 + 1 = 2", "holds 2 numbers"), ("numeric", "1 + 1 = 2\n#### 2", None),
        ("symbolic", "$", "no mathematical"),
        ("symbolic", "so \\boxed{2}", None),
    ],
)  # fmt: skip
def test_a_reward_says_why_it_cannot_use_a_gold_answer(name, gold, problem):
    found = GOLD_PROBLEMS[name](gold)
    assert found is None if problem is None else problem in found
