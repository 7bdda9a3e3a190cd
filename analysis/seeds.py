"""Several seeds as an axis: the mean over runs that differ in their seed alone, over questions and over seeds.

The two levels are crossed, every run answering the same questions. Questions are resampled, together for all runs;
seeds, of which there are 2 to 10, are not: resampling S of S seeds holds the truth of a 95 % interval in 73 to 98 % of
simulated runs, whereas Student's t with S - 1 degrees of freedom for what the seeds add holds it in 92 to 97 % for
S >= 3 (two seeds that differ much: 89 %, and intervals too wide to be of use). So ask for three seeds or more.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from analysis.comparisons import Comparison, detectable_from_interval
from analysis.counts import FIGURES, QuestionCounts, refuse_different_questions
from analysis.statistics import LEVEL, NUM_RESAMPLES, ROUNDING, Estimate, divide, resampled_sums, unvaried
from data.errors import BadInput


def estimate_over_seeds(
    runs: Sequence[QuestionCounts],
    figure: str,
    num_resamples: int = NUM_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate:
    """The mean of a figure over runs on the same questions, with its interval over questions and seeds."""
    ratios = _ratios(runs, figure)
    rng = np.random.default_rng(seed)
    replicates, values = _resample(ratios, num_resamples, rng)
    means = _with_seed_noise(values, replicates, rng)
    return _interval(values, means, len(runs[0].question_ids), level, lowest=0.0)


def compare_over_seeds(
    baselines: Sequence[QuestionCounts],
    others: Sequence[QuestionCounts],
    baseline_figure: str = "t2",
    other_figure: str = "t2",
    num_resamples: int = NUM_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Comparison:
    """The mean difference of S pairs of runs, the s-th of `others` against the s-th of `baselines`."""
    if len(baselines) != len(others):
        raise BadInput(
            f"{len(baselines)} baseline runs and {len(others)} others cannot be paired: give one baseline for "
            "each seed (the same one again and again, if it is the same for all)"
        )
    num_seeds = len(others)
    ratios = np.concatenate([_ratios(baselines, baseline_figure), _ratios(others, other_figure)])
    refuse_different_questions(baselines[0], others[0])
    rng = np.random.default_rng(seed)
    replicates, values = _resample(ratios, num_resamples, rng)
    values = values[num_seeds:] - values[:num_seeds]
    means = _with_seed_noise(values, replicates[:, num_seeds:] - replicates[:, :num_seeds], rng)
    difference = _interval(values, means, len(others[0].question_ids), level, lowest=-1.0)
    tail = (1 + min(np.sum(means <= 0), np.sum(means >= 0))) / (1 + num_resamples)
    p_value = min(1.0, 2 * float(tail))
    return Comparison(difference, detectable_from_interval(difference, level), p_value, "bootstrap over seeds")


def _ratios(runs: Sequence[QuestionCounts], figure: str) -> np.ndarray:
    """Numerators and denominators, shape (S, n, 2)."""
    if len(runs) < 2:
        raise BadInput(f"{len(runs)} run was given where seeds are an axis: give at least 2 (3 or more are better)")
    for run in runs[1:]:
        refuse_different_questions(runs[0], run)
    return np.stack([run.ratio(FIGURES[figure]) for run in runs])


def _resample(ratios: np.ndarray, num_resamples: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Each run's figure on the same resampled questions, shape (num_resamples, S), and on all, shape (S,)."""
    num_runs = len(ratios)
    columns = np.concatenate([ratios[..., 0], ratios[..., 1]]).T
    sums = resampled_sums(columns, num_resamples, rng)
    totals = columns.sum(axis=0)
    return divide(sums[:, :num_runs], sums[:, num_runs:]), divide(totals[:num_runs], totals[num_runs:])


def _with_seed_noise(values: np.ndarray, replicates: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Replicates of the mean over seeds, shape (num_resamples,), with what another draw of the seeds would change.

    The variance of `values` (S,) holds the seeds' own and, since each run samples its answers anew, that of the
    questions' within a run, which `replicates` (num_resamples, S) measures and already contains.
    """
    num_seeds = len(values)
    means = replicates.mean(axis=1)
    within = np.nanvar(replicates - means[:, None], axis=0, ddof=1).sum() / (num_seeds - 1)
    between = max(0.0, values.var(ddof=1) - within)
    quantiles = stdtrit(num_seeds - 1, (np.arange(len(means)) + 0.5) / len(means))
    return means + rng.permutation(quantiles) * np.sqrt(between / num_seeds)


def _interval(values: np.ndarray, means: np.ndarray, num_questions: int, level: float, lowest: float) -> Estimate:
    if np.ptp(means) < ROUNDING:
        return unvaried(float(values.mean()), num_questions, level, lowest)
    low, high = np.nanquantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(values.mean()), float(low), float(high), num_questions)
