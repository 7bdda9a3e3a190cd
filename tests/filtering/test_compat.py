"""Each compatibility switch changes exactly what it says, and the authors' counts add up with them."""

import numpy as np
import polars as pl

from filtering.compat import cross_pairs, equal_only_filter, separate_prompt, whole_text_score
from filtering.filters import FILTERS, KEPT, UNUSABLE, Options, select
from filtering.rewards import REWARDS


def as_pairs(question: np.ndarray, init_index: np.ndarray, initial: np.ndarray, correction: np.ndarray) -> pl.DataFrame:
    """Pairs of these rewards, in the columns of pairs and of what `select` takes."""
    rewards = {"initial_reward": initial.astype(np.float32), "correction_reward": correction.astype(np.float32)}
    keys = {"question_row": question, "init_index": init_index, "corr_index": np.arange(len(question))}
    return pl.DataFrame(keys | rewards).with_columns(pl.lit(False).alias(name) for name in (*UNUSABLE, "copy"))


def num_kept(pairs: pl.DataFrame, name: str) -> int:
    return pl.select(reason=select(pairs, name, Options())).filter(KEPT).height


def test_only_cross_pairing_credits_the_correction_of_another_initial_answer():
    """Two incorrect answers and a correct one: only the correct one's own correction is correct."""
    question, init_index = np.zeros(3, dtype=int), np.arange(3)
    own = as_pairs(question, init_index, np.array([0, 0, 1]), np.array([0, 0, 1]))
    assert num_kept(own, "improving") == 0
    assert num_kept(cross_pairs(own, 1), "improving") == 2


def test_equal_only_replaces_non_decreasing_alone():
    assert {name: equal_only_filter(name) for name in FILTERS} == {
        "improving": "improving",
        "non_decreasing": "equal_only",
        "equal_only": "equal_only",
        "none": "none",
        "random_matched": "random_matched",
        "random_matched_non_decreasing": "random_matched_equal_only",
        "random_matched_equal_only": "random_matched_equal_only",
        "correct": "correct",
        "gold": "gold",
    }


def test_whole_text_score_replaces_the_final_answer_alone():
    assert {name for name in REWARDS if whole_text_score(name) != name} == {"in_accuracy_final", "answer_match"}
    text, golds = ["Paris? No.\nFinal Answer: London"], [["Paris"]]
    assert REWARDS["in_accuracy_final"](text, golds) == [0]
    assert REWARDS[whole_text_score("in_accuracy_final")](text, golds) == [1]


def test_the_separate_prompt_is_filled_in_one_pass():
    messages = [{"role": "system", "content": "{question}"}, {"role": "user", "content": "{initial_answer} {other}"}]
    assert separate_prompt(messages, "who {initial_answer}", "{question}") == [
        {"role": "system", "content": "who {initial_answer}"},
        {"role": "user", "content": "{question} {other}"},
    ]


def test_the_authors_counts_add_up():
    """Qwen ENE at N_init = N_corr = 5, iteration 0 of the published logs: with every correction paired with all five
    initial answers, the improving and the equal-only pairs are all correct pairs, N_init^2 * N_corr * 500 * train_corr,
    and their 12,522 rows of iteration 1 are more than the 12,500 own pairs there are."""
    num_questions, num_initial, num_corrections = 500, 5, 5
    improving, equal_only, train_corr = 1_608, 8_237, 0.1575
    num_crossed = num_initial**2 * num_corrections * num_questions
    assert improving + equal_only == 9_845
    assert round(9_845 / num_crossed, 4) == train_corr
    assert num_questions * num_initial * num_corrections < 12_522

    rng = np.random.default_rng(0)
    question = np.repeat(np.arange(num_questions), num_initial * num_corrections)
    init_index = np.tile(np.repeat(np.arange(num_initial), num_corrections), num_questions)
    initial = np.repeat(rng.random(num_questions * num_initial) < 0.2232, num_corrections)
    correction = np.zeros(len(question))
    correction[rng.permutation(len(question))[: 9_845 // num_initial]] = 1
    own = as_pairs(question, init_index, initial, correction)
    crossed = cross_pairs(own, num_corrections)
    assert len(crossed) == num_crossed
    reasons = select(crossed, "non_decreasing", Options())
    assert num_kept(crossed, "improving") + num_kept(crossed, "equal_only") == 9_845
    assert (reasons == "improving").sum() == num_kept(crossed, "improving")
    assert num_kept(own, "non_decreasing") == 9_845 // num_initial
