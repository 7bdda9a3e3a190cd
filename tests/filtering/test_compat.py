"""Each compatibility switch changes exactly what it says, and the authors' counts add up with them."""

import numpy as np

from filtering.compat import cross_pairs, equal_only_filter, separate_prompt, whole_text_score
from filtering.filters import FILTERS, LAST_KEPT, Options, Pairs, Reason, select
from filtering.rewards import REWARDS


def as_pairs(question: np.ndarray, initial_reward: np.ndarray, correction_reward: np.ndarray) -> Pairs:
    rows, never = np.arange(len(question)), np.zeros(len(question), dtype=bool)
    flags = dict.fromkeys(("truncated", "empty", "repeated", "copy"), never)
    return Pairs(initial_reward, correction_reward, **flags, question=question, content=rows, draw=rows)


def num_kept(pairs: Pairs, name: str) -> int:
    return np.count_nonzero(select(pairs, name, Options()) <= LAST_KEPT)


def test_cross_pairs_join_every_correction_to_every_initial_answer_of_its_question():
    question = np.array([4, 4, 4, 4, 9, 9])
    init_index = np.array([0, 0, 1, 1, 0, 2])
    prompt_rows, correction_rows = cross_pairs(question, init_index)
    assert prompt_rows.tolist() == [0, 0, 0, 0, 2, 2, 2, 2, 4, 4, 5, 5]
    assert correction_rows.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 4, 5]
    assert [len(rows) for rows in cross_pairs(question[:0], init_index[:0])] == [0, 0]


def test_only_cross_pairing_credits_the_correction_of_another_initial_answer():
    """Two wrong answers and a right one: only the right one's own correction is right."""
    question = np.array([1, 1, 1])
    initial = np.array([0, 0, 1], dtype=np.float32)
    correction = np.array([0, 0, 1], dtype=np.float32)
    assert num_kept(as_pairs(question, initial, correction), "improving") == 0
    prompts, corrections = cross_pairs(question, np.arange(3))
    crossed = as_pairs(question[prompts], initial[prompts], correction[corrections])
    assert num_kept(crossed, "improving") == 2


def test_equal_only_replaces_non_decreasing_alone():
    assert {name: equal_only_filter(name) for name in FILTERS} == {
        "improving": "improving",
        "non_decreasing": "equal_only",
        "equal_only": "equal_only",
        "none": "none",
        "random_matched": "random_matched",
        "correct": "correct",
        "gold": "gold",
    }


def test_whole_text_score_replaces_the_final_answer_alone():
    assert {name for name in REWARDS if whole_text_score(name) != name} == {"in_accuracy_final"}
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
    initial answers, the improving and the equal-only pairs are all right pairs, N_init^2 * N_corr * 500 * train_corr,
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
    initial = np.repeat(rng.random(num_questions * num_initial) < 0.2232, num_corrections).astype(np.float32)
    correction = np.zeros(len(question), dtype=np.float32)
    correction[rng.permutation(len(question))[: 9_845 // num_initial]] = 1
    prompts, corrections = cross_pairs(question, init_index)
    assert len(prompts) == num_crossed
    crossed = as_pairs(question[prompts], initial[prompts], correction[corrections])
    reasons = select(crossed, "non_decreasing", Options())
    assert num_kept(crossed, "improving") + num_kept(crossed, "equal_only") == 9_845
    assert np.count_nonzero(reasons == Reason.IMPROVING) == num_kept(crossed, "improving")
    own = as_pairs(question, initial, correction)
    assert num_kept(own, "non_decreasing") == 9_845 // num_initial
