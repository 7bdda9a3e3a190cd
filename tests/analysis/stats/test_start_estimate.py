"""The start estimate: unbiased by enumeration of every pool that can occur, and right on pools made by hand."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from analysis.stats.intervals import Estimate
from analysis.stats.start_estimate import (
    Pool,
    answer_table,
    mean_product,
    question_probabilities,
    run_probability,
    start_estimates,
)
from store.errors import BadInput

INITIAL_CORRECT, I_TO_C = 0.3, 0.2  # of the enumerated question
GRID = [(n_init, n_corr) for n_init in (1, 2, 3) for n_corr in (1, 2)]


def exact_probability(num_init: int, num_corr: int) -> float:
    """P(at least one improving pair): answers are independent, and so are the corrections of each."""
    nothing = INITIAL_CORRECT + (1 - INITIAL_CORRECT) * (1 - I_TO_C) ** num_corr
    return 1 - nothing**num_init


def possible_pools(num_init: int, num_corr: int) -> Iterator[tuple[float, np.ndarray]]:
    """(probability, improving corrections per initial answer) of every pool that one question can have."""
    for answers in itertools.product(range(num_corr + 2), repeat=num_init):
        probability, improving = 1.0, []
        for outcome in answers:
            if outcome > num_corr:  # a right initial answer: none of its corrections can improve it
                probability, improving = probability * INITIAL_CORRECT, [*improving, 0]
                continue
            ways = len(list(itertools.combinations(range(num_corr), outcome)))
            chance = ways * I_TO_C**outcome * (1 - I_TO_C) ** (num_corr - outcome)
            probability, improving = probability * (1 - INITIAL_CORRECT) * chance, [*improving, outcome]
        yield probability, np.array([improving])


def simulate_pool(rng: np.random.Generator, num_questions: int, num_init: int = 3, num_corr: int = 2) -> Pool:
    """A pool of questions of different difficulty, two in three of them hopeless."""
    right = rng.beta(1, 3, num_questions)
    mends = np.where(rng.random(num_questions) < 1 / 3, rng.beta(1, 15, num_questions), 0)
    shape = num_questions, num_init, num_corr
    question, init_index, corr_index = (axis.ravel() for axis in np.indices(shape))
    initial = np.broadcast_to(rng.random(shape[:2])[..., None] < right[:, None, None], shape)
    correction = rng.random(shape) < np.where(initial, 0.9, mends[:, None, None])
    tokens = np.full(question.shape, 10), np.full(question.shape, 4)
    return Pool(question, init_index, corr_index, initial.ravel(), correction.ravel(), *tokens)


def started_share(improving: np.ndarray) -> float:
    return improving.any(axis=1).mean()


@pytest.mark.parametrize("cell", GRID)
def test_a_questions_probability_is_unbiased_for_every_cell_up_to_the_pool(cell):
    expected = sum(
        probability * question_probabilities(improving, np.full((1, 3), 2), *cell)[0]
        for probability, improving in possible_pools(3, 2)
    )
    assert expected == pytest.approx(exact_probability(*cell), abs=1e-12)


@pytest.mark.parametrize("num_questions", [1, 2])
@pytest.mark.parametrize("cell", [(1, 1), (2, 1), (2, 2)])
def test_a_runs_probability_is_unbiased_up_to_the_pools_number_of_questions(cell, num_questions):
    pools = list(possible_pools(2, 2))
    mean = Estimate(0.1, 0.0, 0.5, 2)
    expected = 0.0
    for (chance_one, one), (chance_other, other) in itertools.product(pools, pools):
        improving = np.concatenate([one, other])
        probabilities = question_probabilities(improving, np.full((2, 2), 2), *cell)
        expected += chance_one * chance_other * run_probability(probabilities, mean, num_questions).value
    assert expected == pytest.approx(1 - (1 - exact_probability(*cell)) ** num_questions, abs=1e-12)


def test_a_mean_product_is_the_mean_over_all_subsets():
    rng = np.random.default_rng(0)
    factors, usable = rng.random((40, 6)), rng.random((40, 6)) < 0.8
    for size in (1, 2, 4, 6):
        for row, mask, mean in zip(factors, usable, mean_product(factors, usable, size), strict=True):
            products = [np.prod(subset) for subset in itertools.combinations(row[mask], size)]
            assert mean == pytest.approx(np.mean(products)) if products else np.isnan(mean)


def test_a_cell_larger_than_the_pool_is_not_extrapolated_but_its_rows_and_tokens_are_known():
    pool = simulate_pool(np.random.default_rng(0), 50)
    inside, outside = start_estimates(pool, [(3, 2), (4, 2)])
    assert 0 < inside.question.value < 1
    assert np.isnan(outside.question.value) and np.isnan(outside.run.value)
    assert outside.improving_rows.value == pytest.approx(inside.improving_rows.value * 4 / 3)
    assert outside.generated_tokens == 50 * 4 * (10 + 2 * 4)


def test_at_the_pools_own_size_the_estimate_is_what_the_pool_shows():
    pool = simulate_pool(np.random.default_rng(1), 60)
    improving = ~pool.initial_correct & pool.correction_correct
    estimate = start_estimates(pool, [(3, 2)], seconds_per_token=0.5)[0]
    started = len(np.unique(pool.question[improving]))
    assert estimate.question.value == pytest.approx(started / 60)
    assert estimate.run.value == 1
    assert estimate.run.low < 1
    assert estimate.improving_rows.value == pytest.approx(improving.sum())
    assert estimate.kept_right_rows.value == pytest.approx((pool.initial_correct & pool.correction_correct).sum())
    assert estimate.generated_tokens == 60 * 3 * 10 + 60 * 6 * 4
    assert estimate.seconds == estimate.generated_tokens / 2


def test_a_pool_without_an_improving_pair_leaves_a_start_possible():
    pool = simulate_pool(np.random.default_rng(1), 60)
    pool.correction_correct[:] = pool.initial_correct
    estimate = start_estimates(pool, [(3, 2)])[0]
    assert estimate.run.value == estimate.run.low == 0
    assert estimate.run.high == pytest.approx(1 - 0.025)


def test_missing_pairs_count_for_no_cell_that_needs_them():
    pool = simulate_pool(np.random.default_rng(2), 1)
    whole = Pool(**{name: column[:-1] for name, column in vars(pool).items()})  # one of 6 pairs was quarantined
    num_corrections, improving, _ = answer_table(whole)
    assert num_corrections.tolist() == [[2, 2, 1]]
    assert not np.isnan(question_probabilities(improving, num_corrections, 3, 1)).any()
    assert not np.isnan(question_probabilities(improving, num_corrections, 2, 2)).any()
    assert np.isnan(question_probabilities(improving, num_corrections, 3, 2)).all()


def test_pools_of_cross_pairs_and_empty_pools_are_refused():
    pool = simulate_pool(np.random.default_rng(0), 5)
    twice = Pool(**{name: np.concatenate([column, column]) for name, column in vars(pool).items()})
    with pytest.raises(BadInput, match=r"60 pairs of 30 corrections"):
        start_estimates(twice, GRID)
    with pytest.raises(BadInput, match="no pairs"):
        start_estimates(Pool(**{name: column[:0] for name, column in vars(pool).items()}), GRID)


@pytest.mark.nightly
def test_estimates_from_many_pools_average_to_what_fresh_runs_find():
    rng, num_pools, num_questions = np.random.default_rng(3), 300, 40
    grid = [(1, 1), (2, 1), (3, 2)]
    found = [start_estimates(simulate_pool(rng, num_questions), grid, num_resamples=2) for _ in range(num_pools)]
    for column, cell in enumerate(grid):
        fresh = [answer_table(simulate_pool(rng, num_questions, *cell))[1] for _ in range(2000)]
        of_question = np.array([estimates[column].question.value for estimates in found])
        of_run = np.array([estimates[column].run.value for estimates in found])
        rows = np.array([estimates[column].improving_rows.value for estimates in found])
        truths = (
            [table.any(axis=1).mean() for table in fresh],
            [table.any() for table in fresh],
            [t.sum() for t in fresh],
        )
        for estimated, true in zip((of_question, of_run, rows), truths, strict=True):
            error = np.hypot(estimated.std() / num_pools**0.5, np.std(true) / len(true) ** 0.5)
            assert abs(estimated.mean() - np.mean(true)) < 3.5 * error


@pytest.mark.nightly
def test_intervals_of_the_grid_hold_the_truth_at_the_stated_rate():
    rng, grid, num_pools = np.random.default_rng(4), [(1, 1), (2, 1), (3, 2)], 600
    truths = []
    for cell in grid:
        table = answer_table(simulate_pool(rng, 500_000, *cell))[1]
        truths.append((table.any(axis=1).mean(), 1 - (1 - table.any(axis=1).mean()) ** 200, table.sum() / 2500))
    held = np.zeros((3, 3))
    for run in range(num_pools):
        estimates = start_estimates(simulate_pool(rng, 200), grid, num_resamples=1000, seed=run)
        for row, (estimate, truth) in enumerate(zip(estimates, truths, strict=True)):
            intervals = estimate.question, estimate.run, estimate.improving_rows
            held[row] += [of.low <= value <= of.high for of, value in zip(intervals, truth, strict=True)]
    assert np.all((held / num_pools >= 0.91) & (held / num_pools <= 0.985)), held / num_pools
