"""Seeds as an axis: an interval over questions and seeds holds the mean of all seeds, not only of those that ran."""

import numpy as np
import pytest
from scipy.special import stdtrit

from analysis.stats.comparisons import compare
from analysis.stats.intervals import estimate_figures
from analysis.stats.seeds import compare_over_seeds, detectable, estimate_over_seeds
from store.errors import BadInput

NUM_QUESTIONS = 400
TRUTH = 0.4
QUESTION_SPREAD = 0.15  # half widths of uniform distributions around the truth
SEED_SPREAD = 0.08


def runs_of(make_counts, rng, num_seeds, seed_spread=SEED_SPREAD):
    """num_seeds runs with one pair per question: rate = truth + question's effect + seed's effect."""
    question = rng.uniform(-QUESTION_SPREAD, QUESTION_SPREAD, NUM_QUESTIONS)
    runs = []
    for seed_effect in rng.uniform(-seed_spread, seed_spread, num_seeds):
        right = rng.random(NUM_QUESTIONS) < TRUTH + question + seed_effect
        runs.append(make_counts({"c->c": right, "i->i": ~right}))
    return runs


def coverage(make_counts, num_seeds, num_runs, seed_spread):
    rng, held = np.random.default_rng(1), 0
    for run in range(num_runs):
        runs = runs_of(make_counts, rng, num_seeds, seed_spread)
        estimate = estimate_over_seeds(runs, "t2", num_resamples=500, seed=run)
        held += estimate.low <= TRUTH <= estimate.high
    return held / num_runs


def test_the_estimate_is_the_mean_over_runs(make_counts):
    runs = runs_of(make_counts, np.random.default_rng(0), 4)
    figures = [estimate_figures(run, ["t2"])["t2"].value for run in runs]
    assert estimate_over_seeds(runs, "t2").value == pytest.approx(np.mean(figures))


def test_seeds_that_differ_widen_the_interval_and_equal_seeds_do_not(make_counts):
    rng = np.random.default_rng(0)
    differing = runs_of(make_counts, rng, 3)
    single = estimate_figures(differing[0], ["t2"])["t2"]
    same = estimate_over_seeds([differing[0]] * 3, "t2")
    wide = estimate_over_seeds(differing, "t2")
    assert same.high - same.low == pytest.approx(single.high - single.low, rel=0.1)
    assert wide.high - wide.low > 1.5 * (same.high - same.low)


@pytest.mark.parametrize("seed_spread", [0.0, SEED_SPREAD])
def test_intervals_over_three_seeds_hold_the_mean_of_all_seeds(make_counts, seed_spread):
    assert 0.85 <= coverage(make_counts, num_seeds=3, num_runs=100, seed_spread=seed_spread) <= 1


@pytest.mark.nightly
@pytest.mark.parametrize("seed_spread", [0.0, 0.03, SEED_SPREAD])
@pytest.mark.parametrize("num_seeds", [3, 5])
def test_intervals_over_seeds_hold_the_truth_at_the_stated_rate(make_counts, num_seeds, seed_spread):
    assert 0.90 <= coverage(make_counts, num_seeds, num_runs=1000, seed_spread=seed_spread) <= 0.995


def test_comparisons_pair_runs_of_one_seed(make_counts):
    rng = np.random.default_rng(0)
    baselines = runs_of(make_counts, rng, 3)
    fixed = rng.random(NUM_QUESTIONS) < 0.1  # in every run: one question in ten becomes right
    others = []
    for baseline in baselines:
        right = (baseline.sums["c->c"] > 0) | fixed
        others.append(make_counts({"c->c": right, "i->i": ~right}))
    comparison = compare_over_seeds(baselines, others)
    assert comparison.difference.high - comparison.difference.low < 0.06  # far less than the seeds' own spread
    assert comparison.words().startswith("higher by")
    assert 1 < comparison.mde / (comparison.difference.high - comparison.difference.value) < 1.43


@pytest.mark.parametrize("freedom", [1, 1.4, 2, 4, 20, float("inf")])
def test_the_detectable_effect_is_found_in_four_of_five_cases(freedom):
    rng, many = np.random.default_rng(0), 200_000
    errors = np.sqrt(rng.chisquare(freedom, many) / freedom) if np.isfinite(freedom) else np.ones(many)
    found = np.abs(rng.normal(detectable(freedom), size=many) / errors) > stdtrit(min(freedom, 1e6), 0.975)
    assert found.mean() == pytest.approx(0.8, abs=0.004)


def test_few_seeds_that_differ_can_show_little(make_counts):
    rng = np.random.default_rng(0)
    two, other = (runs_of(make_counts, rng, 2) for _ in range(2))
    found = compare_over_seeds(two, other)
    assert found.mde > found.difference.high - found.difference.value, "less than the interval allows is not detected"


def test_runs_that_are_the_same_are_no_difference(make_counts):
    runs = runs_of(make_counts, np.random.default_rng(0), 3)
    comparison = compare_over_seeds(runs, runs)
    assert comparison.p_value == 1
    assert comparison.mde == compare(runs[0], runs[0]).mde > 0
    assert comparison.words().startswith("no difference shown")


@pytest.mark.parametrize(("num_questions", "said"), [(40, "higher by 100.0 points"), (4, "no difference shown")])
def test_where_every_question_changes_in_every_seed_as_many_questions_decide_as_there_are(
    make_counts, num_questions, said
):
    before, after = (make_counts({name: np.ones(num_questions)}) for name in ("i->i", "c->c"))
    comparison = compare_over_seeds([before] * 3, [after] * 3)
    assert comparison.p_value == pytest.approx(2 * 0.5**num_questions)
    assert comparison.words().startswith(said)


def test_a_rate_that_one_seed_has_not_got_is_no_comparison(make_counts):
    runs = runs_of(make_counts, np.random.default_rng(0), 3)
    all_right = make_counts({"c->c": np.ones(NUM_QUESTIONS)})
    assert np.isnan(estimate_over_seeds([*runs, all_right], "i->c_of_incorrect")[:3]).all()
    comparison = compare_over_seeds([*runs, all_right], [*runs, all_right], "i->c_of_incorrect", "i->c_of_incorrect")
    assert comparison.words() == "not measurable (nothing to divide by)"


def test_one_run_has_no_seeds_to_average_and_unpaired_runs_are_refused(make_counts):
    runs = runs_of(make_counts, np.random.default_rng(0), 3)
    with pytest.raises(BadInput, match="1 run was given"):
        estimate_over_seeds(runs[:1], "t2")
    with pytest.raises(BadInput, match="2 baseline runs and 3 others"):
        compare_over_seeds(runs[:2], runs)
    with pytest.raises(BadInput, match="same questions"):
        estimate_over_seeds([runs[0], runs[1].restricted_to(["q00000"])], "t2")


def test_questions_that_one_run_lacks_are_left_out_of_all(make_counts):
    runs = runs_of(make_counts, np.random.default_rng(0), 4)
    shared = runs[0].question_ids[1:]
    rest = [run.restricted_to(shared) for run in runs]
    assert estimate_over_seeds([rest[0], *runs[1:]], "t2") == estimate_over_seeds(rest, "t2")
    found = compare_over_seeds(runs[:2], [runs[2], rest[3]])
    assert found == compare_over_seeds(rest[:2], rest[2:])._replace(num_left_out=1)
