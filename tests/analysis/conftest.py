"""A model with known transition probabilities, for simulations: every question has its own."""

from collections.abc import Callable

import numpy as np
import pytest

from analysis.stats.counts import COLUMNS_OF_FIGURES, QuestionCounts

INITIAL_CORRECT = (1.0, 3.0)  # parameters of the Beta distributions over questions; their means are the truth
I_TO_C = (0.4, 7.6)
C_TO_I = (0.6, 3.4)
TRUTH = {"t1": 0.25, "i->c_of_incorrect": 0.05, "c->i_of_correct": 0.15, "delta": 0.75 * 0.05 - 0.25 * 0.15}
TRUTH |= {"t2": 0.25 + TRUTH["delta"], "copy_rate": 0.5 * (1 - 0.75 * 0.05 - 0.25 * 0.15)}


def simulate_counts(num_questions: int, rng: np.random.Generator, max_pairs: int = 9) -> QuestionCounts:
    """A run's counts: 1 to max_pairs pairs per question, half of the unchanged ones copies."""
    num_pairs = rng.integers(1, max_pairs + 1, num_questions)
    right = rng.binomial(num_pairs, rng.beta(*INITIAL_CORRECT, num_questions))
    mended = rng.binomial(num_pairs - right, rng.beta(*I_TO_C, num_questions))
    broken = rng.binomial(right, rng.beta(*C_TO_I, num_questions))
    sums = {"i->c": mended, "c->i": broken, "c->c": right - broken, "i->i": num_pairs - right - mended}
    sums["copies"] = rng.binomial(num_pairs - mended - broken, 0.5)
    return counts_of(sums)


def counts_of(sums: dict[str, np.ndarray]) -> QuestionCounts:
    """QuestionCounts with the given columns, and zeros in the others that figures need."""
    sums = {name: np.asarray(column, dtype=np.float64) for name, column in sums.items()}
    num_questions = len(next(iter(sums.values())))
    sums = {name: np.zeros(num_questions) for name in COLUMNS_OF_FIGURES} | sums
    return QuestionCounts(np.array([f"q{i:05d}" for i in range(num_questions)]), sums)


@pytest.fixture
def simulate() -> Callable[..., QuestionCounts]:
    return simulate_counts


@pytest.fixture
def truth() -> dict[str, float]:
    return TRUTH


@pytest.fixture
def make_counts() -> Callable[..., QuestionCounts]:
    return counts_of
