"""Accuracy on held-out questions after each round of correction: t1, t2, and what eval.rounds adds."""

from collections.abc import Sequence

import numpy as np

from analysis.stats.counts import FIGURES, QuestionCounts
from analysis.stats.intervals import Estimate, estimate_ratios
from store.run import Iteration
from store.schemas import ROUNDS
from store.shards import iter_shards, read_manifest


def curve(iteration: Iteration, split: str, counts: QuestionCounts) -> list[Estimate]:
    """Accuracy of the initial answers, of their corrections, of the corrections of these, ...: one Estimate each, with
    an interval clustered by question. Empty where nothing was corrected more than once."""
    manifest = read_manifest(iteration.rounds)
    if manifest is None:
        return []
    place = {question_id: index for index, question_id in enumerate(counts.question_ids)}
    right, texts = (np.zeros((len(place), 100), dtype=np.int64) for _ in range(2))  # by question and round
    for _, table in iter_shards(iteration.rounds, manifest, split, ROUNDS):
        columns = (table[name].to_pylist() for name in ("question_id", "round", "correct"))
        for question_id, round, correct in zip(*columns, strict=True):
            if question_id not in place:  # none of its pairs could be scored
                continue
            texts[place[question_id], round] += 1
            right[place[question_id], round] += correct
    rounds = np.flatnonzero(texts.any(axis=0))
    first = [counts.ratio(FIGURES[figure]) for figure in ("t1", "t2")]  # (questions, 2): right, texts
    numerators = np.column_stack([*(ratio[:, 0] for ratio in first), right[:, rounds]])
    denominators = np.column_stack([*(ratio[:, 1] for ratio in first), texts[:, rounds]])
    return estimate_ratios(numerators, denominators)


def describe(estimates: Sequence[Estimate]) -> str:
    """t1 9.7 (8.3 to 11.2), t2 8.1 (6.8 to 9.5), t3 ..."""
    return ", ".join(f"t{number} {estimate.with_interval()}" for number, estimate in enumerate(estimates, 1))
