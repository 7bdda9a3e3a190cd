"""What every figure is made of: sums over the pairs of each question, and which of them each figure divides.

A question's samples share its difficulty, so the question, not the pair, is what is resampled, swapped and counted
as n. All statistics of a run therefore need one row of sums per question, however many pairs were sampled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple, NoReturn

import numpy as np

from store.errors import BadInput
from store.schemas import TRANSITIONS

NUM_IDS_NAMED = 5  # in an error message
MOST_LEFT_OUT = 0.5  # of the questions of a comparison, that not all sides have


class Figure(NamedTuple):
    """The sum of some columns of QuestionCounts over the sum of others, both over all questions."""

    numerator: tuple[str, ...]
    denominator: tuple[str, ...] = TRANSITIONS  # all pairs


FIGURES = {
    "t1": Figure(("c->i", "c->c")),
    "t2": Figure(("i->c", "c->c")),
    "i->c": Figure(("i->c",)),  # the four transitions as shares of all pairs, as SCoRe reports them
    "c->i": Figure(("c->i",)),
    "c->c": Figure(("c->c",)),
    "i->i": Figure(("i->i",)),
    "i->c_of_incorrect": Figure(("i->c",), ("i->c", "i->i")),
    "c->i_of_correct": Figure(("c->i",), ("c->i", "c->c")),
    "copy_rate": Figure(("copies",)),
    "kept_rate": Figure(("kept",)),
    "initial_truncation_rate": Figure(("initial_truncated",)),
    "correction_truncation_rate": Figure(("correction_truncated",)),
    "initial_format_failure_rate": Figure(("initial_no_final_answer",)),
    "correction_format_failure_rate": Figure(("correction_no_final_answer",)),
}

COLUMNS_OF_FIGURES = frozenset(name for figure in FIGURES.values() for names in figure for name in names)


@dataclass(frozen=True)
class QuestionCounts:
    """One row per question of one split of one iteration.

    question_ids: str, shape (n,), sorted, no id twice. sums: {column: float64 of shape (n,)}; a column is a
    transition, `copies`, `kept`, `initial_truncated`, `correction_truncated`, a flag (each the number of the
    question's pairs that have it), or `initial_<reward>`, `correction_<reward>`, `initial_num_tokens`,
    `correction_num_tokens` (each the sum over its pairs).
    """

    question_ids: np.ndarray
    sums: dict[str, np.ndarray]

    def __post_init__(self) -> None:
        assert np.all(self.question_ids[1:] > self.question_ids[:-1]), "question ids must be sorted and unique"
        assert all(column.shape == self.question_ids.shape for column in self.sums.values())

    def ratio(self, figure: Figure) -> np.ndarray:
        """Numerator and denominator of a figure per question, float64 of shape (n, 2)."""
        return np.stack([sum(self.sums[name] for name in names) for names in figure], axis=1)

    def without(self, flag: str) -> "QuestionCounts | None":
        """Return the rows of the questions that lack a flag (`overlap`, say); None where that is all of them or
        none."""
        flagged = self.sums.get(flag, np.zeros(len(self.question_ids))) > 0
        return None if flagged.all() or not flagged.any() else self.restricted_to(self.question_ids[~flagged])

    def restricted_to(self, question_ids: Sequence[str] | np.ndarray) -> "QuestionCounts":
        """Return the rows of some questions; BadInput if none of them is here."""
        rows = np.isin(self.question_ids, np.asarray(question_ids, dtype=str))
        if not rows.any():
            raise BadInput(
                f"None of the {len(question_ids):,} questions asked for is among the {len(rows):,} counted: give ids "
                "of the same run and split"
            )
        return QuestionCounts(self.question_ids[rows], {name: column[rows] for name, column in self.sums.items()})


def on_shared_questions(*of_runs: QuestionCounts) -> tuple[list[QuestionCounts], int]:
    """Return the rows of the questions that all hold, and how many others there are: some models' answers to them could
    not be sampled or scored.

    BadInput where these are more than MOST_LEFT_OUT of all: a paired comparison of different questions is none.
    """
    ids = [counts.question_ids for counts in of_runs]
    shared = reduce(np.intersect1d, ids)
    num_left_out = len(reduce(np.union1d, ids)) - len(shared)
    if num_left_out > MOST_LEFT_OUT * (num_left_out + len(shared)):
        _refuse_different_questions(of_runs[0], next(c for c in of_runs if len(np.setxor1d(c.question_ids, ids[0]))))
    return [counts.restricted_to(shared) if num_left_out else counts for counts in of_runs], num_left_out


def _refuse_different_questions(baseline: QuestionCounts, other: QuestionCounts) -> NoReturn:
    only_baseline = np.setdiff1d(baseline.question_ids, other.question_ids)
    only_other = np.setdiff1d(other.question_ids, baseline.question_ids)
    raise BadInput(
        f"A paired comparison needs the same questions on both sides, but {_name(only_baseline)} only in the "
        f"baseline ({len(baseline.question_ids)} questions) and {_name(only_other)} only in the other "
        f"({len(other.question_ids)} questions), and at most {MOST_LEFT_OUT:.0%} may be left out: compare runs of the "
        "same data settings. What one run lacks could not be sampled or scored: _quarantined.jsonl in its corrections/ "
        "and trajectories/ says why"
    )


def _name(question_ids: np.ndarray) -> str:
    if not len(question_ids):
        return "none is"
    shown = ", ".join(question_ids[:NUM_IDS_NAMED].tolist())
    more = f" and {len(question_ids) - NUM_IDS_NAMED} more" if len(question_ids) > NUM_IDS_NAMED else ""
    return f"{shown}{more} {'is' if len(question_ids) == 1 else 'are'}"
