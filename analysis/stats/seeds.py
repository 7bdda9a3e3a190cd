"""Several seeds as an axis: the mean over runs that differ in their seed alone, with its interval over both levels.

The levels are crossed: every run answers the same questions. Questions are bootstrapped, together for all runs. Seeds
are too few for that (resampling them as well holds the truth of a 95 % interval in 64 to 100 % of simulated runs):
their variance is added, as Student's t with Satterthwaite's degrees of freedom. That holds the truth in 91 to 99 % for
three to five seeds, however much they differ; in 83 to 98 % for two, whose intervals become too wide to be of use
where the seeds matter. Ask for three or more.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import nctdtrinc, stdtr, stdtrit

from analysis.stats.comparisons import ALPHA, POWER, Comparison, minimum_detectable_effect
from analysis.stats.counts import FIGURES, QuestionCounts, on_shared_questions
from analysis.stats.intervals import LEVEL, NUM_RESAMPLES, ROUNDING, Estimate, divide, resampled_sums, unvaried
from store.errors import BadInput

MANY = 1e6  # degrees of freedom: as good as infinitely many


def estimate_over_seeds(
    runs: Sequence[QuestionCounts],
    figure: str,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Estimate the mean of a figure over S runs, on the questions that all have."""
    runs, _ = on_shared_questions(*runs)
    values, replicates = _resample(runs, figure, num_resamples, seed)
    return _estimate(values, *_spread(values, replicates), len(runs[0].question_ids), lowest=0.0)


def compare_over_seeds(
    baselines: Sequence[QuestionCounts],
    others: Sequence[QuestionCounts],
    baseline_figure: str = "t2",
    other_figure: str = "t2",
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Estimate the mean difference of S pairs of runs: each of `others` against the one in its place in `baselines`."""
    if len(baselines) != len(others):
        raise BadInput(
            f"{len(baselines)} baseline runs and {len(others)} others cannot be paired: give one baseline for each "
            "seed (M_0 again and again, where it is the baseline of all)"
        )
    runs, left_out = on_shared_questions(*baselines, *others)
    before, replicates_before = _resample(runs[: len(baselines)], baseline_figure, num_resamples, seed)
    after, replicates_after = _resample(runs[len(baselines) :], other_figure, num_resamples, seed)
    error, freedom = _spread(after - before, replicates_after - replicates_before)
    num_questions = len(runs[0].question_ids)
    difference = _estimate(after - before, error, freedom, num_questions, lowest=-1.0)
    if error >= ROUNDING:
        p_value = float(2 * stdtr(freedom, -abs(difference.value) / error))
    else:  # no question differs from another: the sign test
        p_value = 1.0 if abs(difference.value) < ROUNDING else min(1.0, 2 * 0.5**num_questions)
    # Where neither questions nor seeds vary, what one comparison of so many questions that all agree could find.
    mde = minimum_detectable_effect(num_questions, 0.0) if error < ROUNDING else min(detectable(freedom) * error, 1.0)
    return Comparison(difference, mde, p_value, "t over questions and seeds", left_out)


def detectable(freedom: float) -> float:
    """Return the smallest true difference, in standard errors, that a two-sided t-test with so many degrees of freedom
    finds in 80 % of cases: the noncentrality of Student's t. 2.8 for many, 16.3 for one."""
    freedom = min(freedom, MANY)
    return float(nctdtrinc(freedom, 1 - POWER, stdtrit(freedom, 1 - ALPHA / 2)))


def _resample(
    runs: Sequence[QuestionCounts], figure: str, num_resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each run's figure, shape (S,), and on the same resamples of the questions, shape (num_resamples, S)."""
    if len(runs) < 2:
        raise BadInput(f"{len(runs)} run was given where seeds are an axis: give at least 2 (3 or more are better)")
    columns = np.concatenate([run.ratio(FIGURES[figure]) for run in runs], axis=1)
    sums, totals = resampled_sums(columns, num_resamples, np.random.default_rng(seed)), columns.sum(axis=0)
    return divide(totals[::2], totals[1::2]), divide(sums[:, ::2], sums[:, 1::2])


def _spread(values: np.ndarray, replicates: np.ndarray) -> tuple[float, float]:
    """Return the standard error of the mean over S runs, and its degrees of freedom (Satterthwaite 1946).

    The runs' variance holds their own sampling noise, which the questions' has too: counted twice, so the interval is
    a little wide where seeds do not matter.
    """
    if np.isnan(values).any():
        return float("nan"), float("nan")
    num_seeds = len(values)
    of_questions, of_seeds = np.nanvar(replicates.mean(axis=1), ddof=1), values.var(ddof=1) / num_seeds
    total = of_questions + of_seeds
    if total < ROUNDING**2:
        return 0.0, float("inf")
    # The bootstrap's own degrees of freedom, one per question, are many: they enter as infinitely many.
    freedom = (num_seeds - 1) * (total / of_seeds) ** 2 if of_seeds else float("inf")
    return float(np.sqrt(total)), float(freedom)


def _estimate(values: np.ndarray, error: float, freedom: float, num_questions: int, lowest: float) -> Estimate:
    value = float(values.mean())
    if error < ROUNDING:
        return unvaried(value, num_questions, lowest)
    half_width = float(stdtrit(freedom, (1 + LEVEL) / 2) * error)
    return Estimate(value, max(value - half_width, lowest), min(value + half_width, 1.0), num_questions)
