"""Can a model start, and with which sampling? Estimated from one pool of M_0's samples, without any training.

A pair improves if its initial answer is incorrect and its correction correct. A cell (N_init, N_corr) draws N_init of a
question's initial answers and N_corr corrections of each, so averaging over all such subsets of the pool (a
U-statistic, Hoeffding 1948) is unbiased for what a fresh run of that cell finds. Cells larger than the pool are not
extrapolated: their probabilities are NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from analysis.stats.intervals import NUM_RESAMPLES, Estimate, estimate_ratios
from store.errors import BadInput


@dataclass(frozen=True)
class Pool:
    """One entry per pair, all of shape (p,). question: any codes; initial_correct, correction_correct: bool;
    initial_num_tokens, correction_num_tokens: tokens generated for the pair's two texts."""

    question: np.ndarray
    init_index: np.ndarray
    corr_index: np.ndarray
    initial_correct: np.ndarray
    correction_correct: np.ndarray
    initial_num_tokens: np.ndarray
    correction_num_tokens: np.ndarray


class StartEstimate(NamedTuple):
    """What a cell of the grid can expect of one iteration over num_questions training questions.

    question: P(at least one improving pair) of a question, the mean over questions; run: of the whole run.
    improving_rows, kept_right_rows: expected rows of D+ and of D=; Non-decreasing keeps both.
    generated_tokens, seconds: of sampling the cell.
    """

    num_init: int
    num_corr: int
    question: Estimate
    run: Estimate
    improving_rows: Estimate
    kept_right_rows: Estimate
    generated_tokens: float
    seconds: float


def sizes_within(num_initial: int, num_corrections: int, num_answers: int) -> list[tuple[int, int]]:
    """Return every N_init x N_corr up to those of a pool whose corrections read so many initial answers."""
    return [(i, j) for i in range(num_answers, num_initial + 1) for j in range(1, num_corrections + 1)]


def start_estimates(
    pool: Pool,
    grid: Sequence[tuple[int, int]],
    num_questions: int | None = None,
    seconds_per_token: float = float("nan"),
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> list[StartEstimate]:
    """One StartEstimate for each (N_init, N_corr) of `grid`, with intervals from a bootstrap over the pool's questions.

    num_questions: of the planned run, drawn like the pool's; None means as many. seconds_per_token: the pool's
    generation time over its generated tokens, so cells of another size are taken to run at the pool's throughput.
    """
    num_corrections, improving, kept_right = answer_table(pool)
    num_questions = len(improving) if num_questions is None else num_questions
    found = np.stack([question_probabilities(improving, num_corrections, *cell) for cell in grid], axis=1)
    per_question = np.stack([improving.sum(axis=1), kept_right.sum(axis=1)], axis=1)
    *of_question, improving_share, kept_right_share = estimate_ratios(
        np.concatenate([np.nan_to_num(found), per_question / num_corrections.sum(axis=1, keepdims=True)], axis=1),
        np.concatenate([~np.isnan(found), np.ones_like(per_question)], axis=1),
        num_resamples,
        seed,
    )
    initial_tokens, correction_tokens = pool.initial_num_tokens.mean(), pool.correction_num_tokens.mean()
    estimates = []
    for cell, question, probabilities in zip(grid, of_question, found.T, strict=True):
        num_initial, num_pairs = num_questions * cell[0], num_questions * cell[0] * cell[1]
        tokens = float(num_initial * initial_tokens + num_pairs * correction_tokens)
        estimates.append(
            StartEstimate(
                *cell,
                question,
                run_probability(probabilities[~np.isnan(probabilities)], question, num_questions),
                _scaled(improving_share, num_pairs),
                _scaled(kept_right_share, num_pairs),
                tokens,
                tokens * seconds_per_token,
            )
        )
    return estimates


def answer_table(pool: Pool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per question and initial answer, each of shape (questions, J): the corrections, the improving, the kept right.

    An initial answer that the pool lacks (quarantined, say) has no corrections.
    """
    questions, question = np.unique(pool.question, return_inverse=True)
    shape = len(questions), int(pool.init_index.max(initial=-1)) + 1
    if not len(questions):
        raise BadInput("The pool has no pairs: sample some with `make iterate N=0` first")
    answer = question * shape[1] + pool.init_index
    pairs = answer * (int(pool.corr_index.max()) + 1) + pool.corr_index
    if len(np.unique(pairs)) < len(pairs):
        raise BadInput(
            f"The pool has {len(pairs):,} pairs of {len(np.unique(pairs)):,} corrections; a correction belongs to one "
            "initial answer: use a run without the compat switch for cross pairing"
        )

    def count(pairs_counted: np.ndarray) -> np.ndarray:
        return np.bincount(answer[pairs_counted], minlength=shape[0] * shape[1]).reshape(shape)

    right = pool.correction_correct
    return count(np.ones_like(right)), count(~pool.initial_correct & right), count(pool.initial_correct & right)


def question_probabilities(
    improving: np.ndarray, num_corrections: np.ndarray, num_init: int, num_corr: int
) -> np.ndarray:
    """P(at least one improving pair) of each question, unbiased; NaN where its pool is smaller than the cell.

    improving, num_corrections: shape (questions, J), of each initial answer in the pool.
    """
    usable = num_corrections >= num_corr
    # P(no improving one among num_corr of an answer's corrections, drawn without replacement): hypergeometric.
    none = np.ones(improving.shape)
    for drawn in range(num_corr):
        left = np.where(usable, num_corrections - drawn, 1)
        none *= np.maximum(0, left - improving) / left
    return 1 - mean_product(none, usable, num_init)


def mean_product(factors: np.ndarray, usable: np.ndarray, size: int) -> np.ndarray:
    """Mean, over all subsets of `size` usable factors of a row, of their product: shape (rows,) from (rows, J).

    An elementary symmetric polynomial over its number of terms, added up factor by factor in rows * J * size steps.
    NaN for rows with fewer than `size` usable factors.
    """
    if size == factors.shape[1] and usable.all():
        return factors.prod(axis=1)  # one subset: spares a planned run as large as its pool the quadratic loop
    means = np.zeros((len(factors), size + 1))  # of subsets of 0..size of the factors seen so far
    means[:, 0] = 1
    num_seen = np.zeros((len(factors), 1))
    for factor, use in zip(factors.T[..., None], usable.T[..., None], strict=True):
        num_seen += use
        chosen = np.arange(1, size + 1) / np.maximum(num_seen, 1)  # share of the subsets that hold this factor
        updated = chosen * factor * means[:, :-1] + (1 - chosen) * means[:, 1:]
        means[:, 1:] = np.where(use, updated, means[:, 1:])
    return np.where(num_seen[:, 0] >= size, means[:, -1], np.nan)


def run_probability(probabilities: np.ndarray, question: Estimate, num_questions: int) -> Estimate:
    """P(at least one improving pair in a run of `num_questions` questions drawn like the pool's).

    probabilities: of the pool's questions, unbiased, shape (n,); question: their mean. Unbiased for runs up to the
    pool's n questions. A larger run gets 1 - (1 - mean)^num_questions, too low on average where the pool holds few
    improving pairs (by up to 0.17 for a run slightly larger than the pool, 0.3 for one of twice its size). The
    interval is the mean's, carried over, and widened to hold the estimate: for a cell as large as the pool the
    unbiased estimate can only be 0 or 1, did this pool start or not.
    """
    if num_questions > len(probabilities):
        value = 1 - (1 - question.value) ** num_questions
    else:
        none = 1 - probabilities[None, :]
        value = float(1 - mean_product(none, np.ones_like(none, dtype=bool), num_questions)[0])
    low, high = (1 - (1 - bound) ** num_questions for bound in (question.low, question.high))
    return Estimate(value, min(low, value), max(high, value), question.num_questions)


def _scaled(share: Estimate, rows: int) -> Estimate:
    return Estimate(share.value * rows, share.low * rows, share.high * rows, share.num_questions)
