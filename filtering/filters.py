"""Step 3 of Algorithm 1 (arXiv 2503.08681): which corrections M_n is trained on, and why each other one is not.

Everything works on small arrays with one entry per pair, 12 to 36 bytes, so a whole run is selected at once where pairs
are compared, and texts stay on disk. Where some rows of many are to be kept, those with the smallest `draw` are: a
number made from the seed and the row's ids, so neither the order of the rows nor the layout of the shards has a say.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction

import numpy as np


class Reason(IntEnum):
    """Why a pair is trained on (the first six) or not; its column in trajectories holds the name in lower case."""

    IMPROVING = 0
    KEPT_CORRECT = 1
    UNFILTERED = 2  # the filter is off
    RANDOM = 3
    INITIAL_CORRECT = 4  # its initial answer is trained, not its correction
    GOLD = 5  # its question's gold answer is trained
    HELD_OUT = 6  # validation and test are never trained on
    TRUNCATED = 7
    EMPTY = 8
    REPEATED = 9  # an earlier pair has the same initial answer or gold answer, which is trained once
    DEGRADED = 10
    INCORRECT_TWICE = 11
    NOT_IMPROVING = 12
    NOT_EQUAL = 13
    INITIAL_INCORRECT = 14
    DUPLICATE = 15
    OVER_QUESTION_CAP = 16
    BALANCE = 17
    COPY_CAP = 18
    NOT_DRAWN = 19


LAST_KEPT = Reason.GOLD
ROUNDING = 1e-6  # rewards are float32: 0.6 - 0.5 comes out 2e-8 above 0.1, and is no gain beyond a margin of 0.1


@dataclass(frozen=True)
class Pairs:
    """Pairs (y1, y2) as columns of shape (n,).

    initial_reward, correction_reward: float32, r(y1) and r(y2). truncated, empty: of the text to be trained, the
    correction as a rule; repeated: an earlier pair trains the very same; such rows are never trained on. copy: y2,
    where it is trained, repeats y1 verbatim.
    question, content: int64 keys; rows that share `content` have the same question, prompt and trained text.
    draw: int64, as good as random and unique. These three are needed where `compares_pairs` says so, for the pairs that
    pass the filter; 0 for others.
    """

    initial_reward: np.ndarray
    correction_reward: np.ndarray
    truncated: np.ndarray
    empty: np.ndarray
    repeated: np.ndarray
    copy: np.ndarray
    question: np.ndarray | None = None
    content: np.ndarray | None = None
    draw: np.ndarray | None = None

    @property
    def usable(self) -> np.ndarray:
        """Which may be trained on at all, bool."""
        return ~(self.truncated | self.empty | self.repeated)


@dataclass(frozen=True)
class Options:
    """threshold: t, a reward of at least t is correct. margin: gains of at most this count as equal, for continuous
    rewards. The rest bounds what is kept, None is no bound: rows per question; kept-correct rows per improving one;
    the share of verbatim copies among the kept (a right answer repeated teaches to copy)."""

    threshold: float = 0.5
    margin: float = 0.0
    drop_duplicates: bool = False
    max_per_question: int | None = None
    max_kept_correct_per_improving: float | None = None
    max_copy_share: float | None = None


def improving(initial: np.ndarray, correction: np.ndarray, options: Options) -> np.ndarray:
    """D+ = {r(y2) > r(y1)}, by more than the margin."""
    return correction - initial > options.margin + ROUNDING


def equal_only(initial: np.ndarray, correction: np.ndarray, options: Options) -> np.ndarray:
    """D= = {r(y2) = r(y1) >= t}: right twice. The authors' code takes this alone for Non-decreasing."""
    equal = np.abs(correction - initial) <= options.margin + ROUNDING
    return equal & is_correct(initial, options.threshold) & is_correct(correction, options.threshold)


def non_decreasing(initial: np.ndarray, correction: np.ndarray, options: Options) -> np.ndarray:
    """D+ ∪ D=."""
    return improving(initial, correction, options) | equal_only(initial, correction, options)


def correct(initial: np.ndarray, correction: np.ndarray, options: Options) -> np.ndarray:
    """Right initial answers, for training on these."""
    return is_correct(initial, options.threshold)


def everything(initial: np.ndarray, correction: np.ndarray, options: Options) -> np.ndarray:
    """No filter: every pair."""
    return np.ones(len(initial), dtype=bool)


FILTERS: dict[str, Callable[[np.ndarray, np.ndarray, Options], np.ndarray]] = {
    "improving": improving,
    "non_decreasing": non_decreasing,
    "equal_only": equal_only,
    "none": everything,
    "random_matched": everything,  # of which `select` draws as many as improving keeps
    "correct": correct,
    "gold": everything,
}
# The filters that fit what is trained, strategy.trains_on and strategy.filter, as names of FILTERS.
FITTING = {
    "corrections": {name: name for name in ("improving", "non_decreasing", "equal_only", "none", "random_matched")},
    "initial_answers": {"correct": "correct", "none": "none"},
    "gold_answers": {"none": "gold"},
}
KEPT_AS = {
    "none": Reason.UNFILTERED,
    "random_matched": Reason.RANDOM,
    "correct": Reason.INITIAL_CORRECT,
    "gold": Reason.GOLD,
}


def compares_pairs(name: str, options: Options) -> bool:
    """Whether what becomes of a pair depends on others, so that a whole run's must be selected at once."""
    bounds = (options.max_per_question, options.max_kept_correct_per_improving, options.max_copy_share)
    return name == "random_matched" or options.drop_duplicates or any(bound is not None for bound in bounds)


def passing(pairs: Pairs, name: str, options: Options) -> np.ndarray:
    """Which pairs are usable and pass the filter, bool of shape (n,); more may drop out where pairs are compared."""
    return FILTERS[name](*_rewards(pairs), options) & pairs.usable


def select(pairs: Pairs, name: str, options: Options) -> np.ndarray:
    """The Reason of every pair, int8 of shape (n,), under the filter `name`; kept are those <= LAST_KEPT.

    In this order: unusable texts, the filter, duplicates, the cap per question (improving pairs stay before
    others under non_decreasing), the balance, the share of copies, and for random_matched the draw.
    """
    reason = classify(pairs, options)
    chosen = passing(pairs, name, options)
    if name in KEPT_AS:
        reason[chosen] = KEPT_AS[name]
    if name == "correct":
        reason[~chosen & pairs.usable] = Reason.INITIAL_INCORRECT
    reason[~chosen & (reason == Reason.IMPROVING)] = Reason.NOT_EQUAL
    reason[~chosen & (reason == Reason.KEPT_CORRECT)] = Reason.NOT_IMPROVING
    if not compares_pairs(name, options):
        return reason

    rows = np.flatnonzero(chosen)
    rows = rows[np.lexsort((pairs.draw[rows], reason[rows]))]  # IMPROVING is the smallest reason
    if options.drop_duplicates:
        rows = _drop(reason, rows, _beyond(pairs.content[rows], 1), Reason.DUPLICATE)
    if options.max_per_question is not None:
        over = _beyond(pairs.question[rows], options.max_per_question)
        rows = _drop(reason, rows, over, Reason.OVER_QUESTION_CAP)
    if name == "random_matched":
        count = np.count_nonzero(select(pairs, "improving", options) <= LAST_KEPT)
        _drop(reason, rows, np.arange(len(rows)) >= count, Reason.NOT_DRAWN)
        return reason
    if options.max_kept_correct_per_improving is not None:
        kept_correct = reason[rows] == Reason.KEPT_CORRECT
        allowed = _floor(options.max_kept_correct_per_improving, np.count_nonzero(reason[rows] == Reason.IMPROVING))
        rows = _drop(reason, rows, _after(kept_correct, allowed), Reason.BALANCE)
    if options.max_copy_share is not None and options.max_copy_share < 1:
        copies = pairs.copy[rows]
        share = Fraction(str(options.max_copy_share))  # copies <= share * (copies + others)
        allowed = _floor(share / (1 - share), np.count_nonzero(~copies))
        rows = _drop(reason, rows, _after(copies, allowed), Reason.COPY_CAP)
    return reason


def classify(pairs: Pairs, options: Options) -> np.ndarray:
    """What each pair is before any filter, int8 of shape (n,)."""
    initial, correction = _rewards(pairs)
    cases = {
        Reason.TRUNCATED: pairs.truncated,
        Reason.EMPTY: pairs.empty,
        Reason.REPEATED: pairs.repeated,
        Reason.IMPROVING: improving(initial, correction, options),
        Reason.KEPT_CORRECT: equal_only(initial, correction, options),
        Reason.DEGRADED: improving(correction, initial, options),
        Reason.INCORRECT_TWICE: ~is_correct(np.maximum(initial, correction), options.threshold),
    }
    return np.select(list(cases.values()), list(cases), Reason.NOT_IMPROVING).astype(np.int8)


def transitions(initial: np.ndarray, correction: np.ndarray, threshold: float) -> np.ndarray:
    """Indices into TRANSITIONS, int8 of shape (n,), for rewards of shape (n,)."""
    before, after = is_correct(initial, threshold), is_correct(correction, threshold)
    return np.select([~before & after, before & ~after, before & after], [0, 1, 2], 3).astype(np.int8)


def is_correct(reward: np.ndarray, threshold: float) -> np.ndarray:
    """r >= t, with t rounded as the rewards are: a float32 reward of 0.7 reaches a threshold of 0.7."""
    return reward >= np.float32(threshold)


def _rewards(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    return pairs.initial_reward.astype(np.float64), pairs.correction_reward.astype(np.float64)


def _drop(reason: np.ndarray, rows: np.ndarray, dropped: np.ndarray, why: Reason) -> np.ndarray:
    reason[rows[dropped]] = why
    return rows[~dropped]


def _beyond(keys: np.ndarray, count: int) -> np.ndarray:
    """True where a key has already occurred `count` times before."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(keys) else np.empty(0, int)
    position = np.arange(len(keys)) - np.repeat(starts, np.diff(np.r_[starts, len(keys)]))
    beyond = np.empty(len(keys), dtype=bool)
    beyond[order] = position >= count
    return beyond


def _after(members: np.ndarray, count: int) -> np.ndarray:
    """True for the members that come after the first `count` of them."""
    return members & (np.cumsum(members) > count)


def _floor(factor: float | Fraction, count: int) -> int:
    """floor(factor * count), exact for the decimal that the factor is written as (0.1 is one tenth)."""
    return math.floor(Fraction(str(factor)) * count)
