"""Paired comparisons: sizes and power as stated, refusals, and words that do not say more than the numbers."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from analysis.stats.comparisons import (
    adjust,
    compare,
    discordance,
    mcnemar,
    minimum_detectable_effect,
    swap_test,
    verdict,
)
from analysis.stats.counts import FIGURES
from analysis.stats.intervals import estimate_figures
from store.errors import BadInput


def outcomes(rng, num_questions, gained, lost):
    """One outcome per question and side, of which the shares `gained` and `lost` change."""
    before = rng.random(num_questions) < 0.3
    change = rng.random(num_questions)
    after = np.where(change < gained, True, np.where(change < gained + lost, False, before))
    before = np.where(change < gained, False, np.where(change < gained + lost, True, before))
    return before, after


def as_counts(make_counts, correct):
    return make_counts({"c->c": correct, "i->i": ~correct})


def as_ratio(correct):
    return np.stack([correct, np.ones(len(correct))], axis=1)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (5, 1), (30, 30), (40, 12)])
def test_mcnemar_is_the_exact_sign_test(gained, lost):
    before = np.array([False] * gained + [True] * lost + [True, False] * 20)
    after = np.array([True] * gained + [False] * lost + [True, False] * 20)
    expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1
    assert mcnemar(before, after) == pytest.approx(expected)


def test_swapping_single_outcomes_is_mcnemars_test():
    before, after = outcomes(np.random.default_rng(2), 300, 0.06, 0.03)
    p_value = swap_test(as_ratio(before), as_ratio(after), num_swaps=40_000)
    assert p_value == pytest.approx(mcnemar(before, after), abs=0.01)


def test_compare_takes_the_exact_test_for_one_pair_per_question_and_swaps_for_more(make_counts):
    once = make_counts({"i->c": [1, 0, 0], "i->i": [0, 1, 1]})
    twice = make_counts({"i->c": [1, 0, 0], "i->i": [1, 2, 2]})
    assert compare(once, once, "t1", "t2").test == "exact McNemar"
    assert compare(twice, twice, "t1", "t2").test == "swaps within questions"


def test_compare_is_the_difference_of_the_figures(simulate):
    rng = np.random.default_rng(3)
    one, other = simulate(400, rng), simulate(400, rng)
    t2 = [counts.ratio(FIGURES["t2"]).sum(axis=0) for counts in (one, other)]
    expected = t2[1][0] / t2[1][1] - t2[0][0] / t2[0][1]
    assert compare(one, other).difference.value == pytest.approx(expected)
    assert compare(other, one).difference.value == pytest.approx(-expected)


def test_samples_of_a_question_are_not_counted_as_questions(make_counts):
    before, after = outcomes(np.random.default_rng(4), 200, 0.08, 0.03)
    single = compare(as_counts(make_counts, before), as_counts(make_counts, after))
    many = [make_counts({"c->c": 9 * side, "i->i": 9 * ~side}) for side in (before, after)]
    repeated = compare(*many)
    assert repeated.p_value == pytest.approx(single.p_value, abs=0.01)
    assert repeated.mde == pytest.approx(single.mde)
    assert np.allclose(repeated.difference, single.difference)


def test_different_questions_are_refused_by_name(make_counts):
    ten, eight = make_counts({"c->c": np.ones(10)}), make_counts({"c->c": np.ones(8)})
    with pytest.raises(BadInput, match=r"none is only in the baseline .*q00005, q00006, q00007 are only in the other"):
        compare(eight.restricted_to(["q00000", "q00001", "q00002"]), eight)
    with pytest.raises(BadInput, match=r"q00000, q00001, q00002, q00003, q00004 and 3 more are only in the baseline"):
        compare(eight, ten.restricted_to(["q00009"]))


def test_restricting_to_questions_that_are_not_there_is_refused(make_counts):
    counts = make_counts({"c->c": [1, 1, 1], "i->i": [0, 1, 0]})
    assert counts.restricted_to(["q00001", "elsewhere"]).sums["i->i"].tolist() == [1]
    with pytest.raises(BadInput, match="None of the 1 questions asked for is among the 3 counted"):
        counts.restricted_to(["elsewhere"])


def test_a_rate_that_one_side_has_not_got_is_no_comparison(make_counts):
    all_right = make_counts({"c->c": [1, 1], "c->i": [1, 0]})
    comparison = compare(all_right, all_right, "i->c_of_incorrect", "i->c_of_incorrect")
    assert np.isnan(comparison.p_value)
    assert comparison.words() == "not measurable (nothing to divide by)"


def test_discordance_of_single_outcomes_is_the_share_that_changed():
    before, after = outcomes(np.random.default_rng(5), 500, 0.1, 0.04)
    assert discordance(as_ratio(before), as_ratio(after)) == pytest.approx(np.mean(before != after))


def rejection_rate(test, num_questions, gained, lost, num_runs):
    rng = np.random.default_rng(6)
    return np.mean([test(*outcomes(rng, num_questions, gained, lost)) < 0.05 for _ in range(num_runs)])


def test_exact_mcnemar_rejects_a_true_null_in_at_most_5_of_100_runs():
    assert 0.02 <= rejection_rate(mcnemar, 300, 0.06, 0.06, num_runs=2000) <= 0.06


def test_the_minimum_detectable_effect_is_found_in_80_of_100_runs():
    shares_changed, num_questions = 0.12, 800
    effect = minimum_detectable_effect(num_questions, shares_changed)
    gained, lost = (shares_changed + effect) / 2, (shares_changed - effect) / 2
    # The exact test is conservative: it has 2 to 3 points less power than the formula's.
    assert 0.74 <= rejection_rate(mcnemar, num_questions, gained, lost, num_runs=2000) <= 0.84


def test_the_minimum_detectable_effect_solves_connors_equation():
    effect, z_alpha, z_power = minimum_detectable_effect(1500, 0.1), 1.959964, 0.841621
    assert 1500 * effect**2 == pytest.approx((z_alpha * 0.1**0.5 + z_power * (0.1 - effect**2) ** 0.5) ** 2)
    assert minimum_detectable_effect(1500, 0.0) == pytest.approx(7.84 / 1500, rel=0.01)
    assert minimum_detectable_effect(2, 0.0) == 1


def test_many_small_differences_are_detected_sooner_than_few_large_ones(make_counts):
    few = make_counts({"i->c": [1] * 4 + [0] * 96, "i->i": [0] * 4 + [1] * 96})
    small = make_counts({"i->c": [1] * 40 + [0] * 60, "i->i": [9] * 40 + [10] * 60})
    few_large, many_small = compare(few, few, "t1", "t2"), compare(small, small, "t1", "t2")
    assert few_large.difference.value == many_small.difference.value == 0.04
    assert many_small.mde < 0.025 < few_large.mde


def test_figures_of_a_comparison_are_plain_numbers_for_json(simulate):
    counts = simulate(30, np.random.default_rng(0))
    json.dumps([compare(counts, counts, "t1", "t2"), compare(counts, counts), estimate_figures(counts)])


@pytest.mark.nightly
def test_swap_test_rejects_a_true_null_at_its_level(simulate):
    rng, num_runs, num_rejected = np.random.default_rng(7), 1000, 0
    for run in range(num_runs):
        before, after = (simulate(100, rng).ratio(FIGURES["t2"]) for _ in range(2))
        num_rejected += swap_test(before, after, num_swaps=2000, seed=run) < 0.05
    assert 0.03 <= num_rejected / num_runs <= 0.07


def test_holm_adjusts_a_grid_without_the_impossible():
    assert adjust([0.01, 0.04, float("nan"), 0.03]) == pytest.approx([0.03, 0.06, float("nan"), 0.06], nan_ok=True)
    assert np.isnan(adjust([float("nan")])).all() and not len(adjust([]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_bonferroni_over_what_is_left(p_values):
    """The definition by steps: the k-th smallest p-value times the number of those not smaller, never decreasing."""
    order, expected, highest = sorted(range(len(p_values)), key=p_values.__getitem__), {}, 0.0
    for step, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - step) * p_values[index]))
        expected[index] = highest
    assert adjust(p_values) == pytest.approx([expected[index] for index in range(len(p_values))])


@pytest.mark.parametrize(
    ("value", "interval", "p_value", "words"),
    [
        (0.031, (0.013, 0.051), None, "higher by 3.1 points (interval 1.3 to 5.1)"),
        (-0.031, (-0.051, -0.013), None, "lower by 3.1 points (interval 1.3 to 5.1)"),
        (0.02, (-0.001, 0.041), None, "no difference shown (minimum detectable effect 2.5 points)"),
        (0.02, (0.0, 0.04), None, "no difference shown (minimum detectable effect 2.5 points)"),
        (0.02, (0.001, 0.041), 0.2, "no difference shown (minimum detectable effect 2.5 points)"),
        (0.02, (0.001, 0.041), 0.04, "higher by 2.0 points (interval 0.1 to 4.1)"),
        (0.02, (-0.001, 0.041), 0.04, "no difference shown (minimum detectable effect 2.5 points)"),
    ],
)
def test_words_claim_a_difference_only_where_interval_and_p_value_do(value, interval, p_value, words):
    assert verdict(value, interval, 0.025, p_value) == words


def test_an_adjusted_p_value_takes_a_claim_back(make_counts):
    before, after = outcomes(np.random.default_rng(9), 500, 0.10, 0.03)
    comparison = compare(as_counts(make_counts, before), as_counts(make_counts, after))
    assert comparison.words().startswith("higher by")
    assert comparison.words(adjusted_p_value=0.3).startswith("no difference shown")


def test_a_few_questions_that_one_side_lacks_are_left_out_and_counted(make_counts):
    rng = np.random.default_rng(0)
    before, after = (make_counts({"c->c": right, "i->i": ~right}) for right in rng.random((2, 40)) < [[0.2], [0.8]])
    shared = before.question_ids[1:-1]
    found = compare(before.restricted_to(before.question_ids[1:]), after.restricted_to(after.question_ids[:-1]))
    wanted = compare(before.restricted_to(shared), after.restricted_to(shared))
    assert found == wanted._replace(num_left_out=2)
    assert found.words() == f"{wanted.words()} on the questions that all have (2 left out)"
