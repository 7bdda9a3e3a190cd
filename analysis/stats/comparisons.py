"""Paired comparisons on the same questions, their minimum detectable effects, and the words the numbers allow."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import bdtr, ndtri

from analysis.stats.counts import FIGURES, QuestionCounts, on_shared_questions
from analysis.stats.intervals import BLOCK, NUM_RESAMPLES, Estimate, divide, estimate_difference

ALPHA = 0.05
POWER = 0.8
NUM_SWAPS = 10_000  # the smallest p-value is 1 / 10,001: it survives a Holm correction over 400 comparisons


class Comparison(NamedTuple):
    """difference: other - baseline, as a share (0.01 is one point). mde: the smallest true difference that a
    comparison like this one finds in 80 % of cases. test: what the two-sided p_value is of. num_left_out: questions
    that only some sides have."""

    difference: Estimate
    mde: float
    p_value: float
    test: str
    num_left_out: int = 0

    def words(self, adjusted_p_value: float | None = None) -> str:
        """Return the claim that the numbers allow; give the adjusted p-value where it is one comparison of many."""
        p_value = self.p_value if adjusted_p_value is None else adjusted_p_value
        words = verdict(self.difference.value, (self.difference.low, self.difference.high), self.mde, p_value)
        return (
            f"{words} on the questions that all have ({self.num_left_out:,} left out)" if self.num_left_out else words
        )


def compare(
    baseline: QuestionCounts,
    other: QuestionCounts,
    baseline_figure: str = "t2",
    other_figure: str = "t2",
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare a figure of `other` with one of `baseline` on the questions that both have (BadInput if they differ in
    many).

    M_n against M_0 or another run: the same figure of two QuestionCounts. t2 - t1: two figures of the same one.
    """
    (baseline, other), left_out = on_shared_questions(baseline, other)
    before, after = baseline.ratio(FIGURES[baseline_figure]), other.ratio(FIGURES[other_figure])
    difference = estimate_difference(before, after, num_resamples, seed)
    if np.isnan(difference.value):
        return Comparison(difference, float("nan"), float("nan"), "none", left_out)
    step = 1 / max(before[:, 1].mean(), after[:, 1].mean())  # what one pair more changes in its question
    mde = minimum_detectable_effect(len(before), discordance(before, after), step)
    if _is_one_outcome_each(before) and _is_one_outcome_each(after):
        return Comparison(difference, mde, mcnemar(before[:, 0] == 1, after[:, 0] == 1), "exact McNemar", left_out)
    return Comparison(difference, mde, swap_test(before, after, seed=seed), "swaps within questions", left_out)


def mcnemar(before: np.ndarray, after: np.ndarray) -> float:
    """Exact two-sided p-value (McNemar 1947) for one outcome per question and side, bool of shape (n,)."""
    gained, lost = int(np.sum(after & ~before)), int(np.sum(before & ~after))
    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))


def swap_test(before: np.ndarray, after: np.ndarray, num_swaps: int = NUM_SWAPS, seed: int = 0) -> float:
    """Two-sided p-value for ratios of sums over questions, numerators and denominators of shape (n, 2).

    Without a difference between the sides, swapping them within a question changes nothing: so all pairs of a question
    are swapped together, at random. With one outcome per question this is McNemar's test.
    """
    total, change = before + after, after - before
    change = change[np.any(change != 0, axis=1)]
    rng = np.random.default_rng(seed)

    def distance(sums_after: np.ndarray) -> np.ndarray:
        sums_before = total.sum(axis=0) - sums_after
        return np.abs(divide(*np.moveaxis(sums_after, -1, 0)) - divide(*np.moveaxis(sums_before, -1, 0)))

    observed = distance(after.sum(axis=0))
    num_extreme, size = 0, max(1, BLOCK // max(1, len(change)))
    for start in range(0, num_swaps, size):
        swapped = rng.integers(0, 2, size=(min(size, num_swaps - start), len(change)), dtype=np.int8)
        sums_after = after.sum(axis=0) - swapped.astype(np.float64) @ change
        num_extreme += int(np.sum(distance(sums_after) >= observed - 1e-12))
    return (1 + num_extreme) / (1 + num_swaps)


def discordance(before: np.ndarray, after: np.ndarray) -> float:
    """Mean square of the questions' differences; the share of questions that changed, where each has one outcome.

    before, after: numerators and denominators of shape (n, 2). A ratio's questions enter with their share of it
    (Taylor linearisation), so the mean of the differences is the ratios' difference.
    """

    def influence(ratio: np.ndarray) -> np.ndarray:
        value = divide(*ratio.sum(axis=0))
        return value + (ratio[:, 0] - value * ratio[:, 1]) / ratio[:, 1].mean()

    return float(np.mean((influence(after) - influence(before)) ** 2))


def minimum_detectable_effect(
    num_questions: int, discordance: float, step: float = 1.0, power: float = POWER, alpha: float = ALPHA
) -> float:
    """Return the smallest true difference that a paired test of n questions finds with the stated power.

    Solves n d^2 = (z_alpha sqrt(p) + z_power sqrt(p - d^2))^2 (Connor 1987) for d, with p the discordance. A question
    that differs does so by at least `step` (1 for one outcome each), so p is at least step * d, however few differed in
    this sample: d is at least 7.8 * step / n at 80 % and 0.05.
    """
    z_alpha, z_power = ndtri(1 - alpha / 2), ndtri(power)
    root = z_alpha * np.sqrt(num_questions)
    root += z_power * np.sqrt(max(0.0, num_questions + z_power**2 - z_alpha**2))
    slope = root / (num_questions + z_power**2)
    return float(min(1.0, slope * max(np.sqrt(discordance), slope * step)))


def adjust(p_values: Sequence[float]) -> np.ndarray:
    """Adjust the p-values of a grid's comparisons together (Holm 1979: any error in at most alpha of the grids).

    NaN, a comparison that is impossible, stays NaN and is not counted.
    """
    adjusted = np.array(p_values, dtype=np.float64)
    possible = np.flatnonzero(~np.isnan(adjusted))
    ascending = possible[np.argsort(adjusted[possible])]
    times = np.arange(len(ascending), 0, -1)  # the smallest p-value by their number, the next by one less, ...
    adjusted[ascending] = np.minimum(1, np.maximum.accumulate(times * adjusted[ascending]))
    return adjusted


def verdict(value: float, interval: tuple[float, float], mde: float, p_value: float | None = None) -> str:
    """Return what may be said of a difference (a share; words are in points): a claim needs an interval without zero,
    and a p-value, if one is given, below 0.05."""
    low, high = interval
    if np.isnan(value):
        return "not measurable (nothing to divide by)"
    if low <= 0 <= high or (p_value is not None and p_value >= ALPHA):
        return f"no difference shown (minimum detectable effect {100 * mde:.1f} points)"
    direction = "higher" if value > 0 else "lower"
    near, far = (low, high) if value > 0 else (-high, -low)
    return f"{direction} by {100 * abs(value):.1f} points (interval {100 * near:.1f} to {100 * far:.1f})"


def difference_of(baseline: Estimate, other: Estimate) -> str:
    """Return what may be said of two estimates from different questions: their errors are independent, so half the
    intervals add up in squares."""
    value = other.value - baseline.value
    half_width = float(np.hypot(other.high - other.low, baseline.high - baseline.low)) / 2
    mde = half_width * float(1 + ndtri(POWER) / ndtri(1 - ALPHA / 2))
    return verdict(value, (value - half_width, value + half_width), mde)


def _is_one_outcome_each(ratio: np.ndarray) -> bool:
    return bool(np.all(ratio[:, 1] == 1) and np.all(np.isin(ratio[:, 0], (0, 1))))
