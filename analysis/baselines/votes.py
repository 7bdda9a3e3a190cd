"""Several answers to a question made one: the majority of them, or any correct one where the gold answer is known."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from analysis.inspection.selection import read_tables
from analysis.stats.counts import QuestionCounts
from analysis.trajectories import no_pairs
from store.fingerprint import SEED_BITS, stable_hash
from store.run import Iteration
from store.schemas import TRANSITIONS

RIGHT = {"initial": ("c->i", "c->c"), "correction": ("i->c", "c->c")}


class Sample(NamedTuple):
    """answer: the normalized final answer, "" where there is none."""

    answer: str
    right: bool
    num_tokens: int


def read_samples(iteration: Iteration, side: str) -> dict[str, list[Sample]]:
    """{question_id: samples in their order} of the test split, BadInput where it has none; side: "initial" or
    "correction"."""
    columns = ["question_id", f"{side}_final_answer", "transition", f"{side}_num_tokens"]
    samples: dict[str, list[Sample]] = defaultdict(list)
    for table in read_tables(iteration, "test"):
        for question_id, answer, transition, num_tokens in zip(
            *(table[name].to_pylist() for name in columns), strict=True
        ):
            samples[question_id].append(Sample(answer, transition in RIGHT[side], num_tokens))
    if not samples:
        raise no_pairs(iteration, "test")
    return dict(samples)


def majority(samples: Sequence[Sample]) -> bool:
    """Self-consistency (Wang et al. 2023): whether the answer given most often is correct, the first of equals. Samples
    without an answer do not vote; where all are without one, the first counts."""
    votes = Counter(sample.answer for sample in samples if sample.answer)
    winner = max(votes, key=votes.__getitem__) if votes else samples[0].answer
    return next(sample.right for sample in samples if sample.answer == winner)


def any_right(samples: Sequence[Sample]) -> bool:
    """Best of k with the gold answer known: what no choice among the samples can beat."""
    return any(sample.right for sample in samples)


def first_of(samples: Mapping[str, list[Sample]], size: float) -> dict[str, list[Sample]]:
    """Return the first `size` samples of every question on average: of 6.3, seven for 30 % of the questions, by their
    id."""
    whole = int(size)

    def of_question(question_id: str) -> int:
        return whole + (stable_hash("baselines", question_id) < (size - whole) * 2**SEED_BITS)

    return {question_id: found[: of_question(question_id)] for question_id, found in samples.items()}


def decide(samples: Mapping[str, list[Sample]], choose: Callable[[Sequence[Sample]], bool]) -> QuestionCounts:
    """One outcome for each question, as pairs of which both texts are correct or both incorrect."""
    question_ids = sorted(samples)
    right = np.array([choose(samples[question_id]) for question_id in question_ids], dtype=np.float64)
    sums = {name: np.zeros(len(right)) for name in TRANSITIONS} | {"c->c": right, "i->i": 1 - right}
    return QuestionCounts(np.array(question_ids), sums)


def num_tokens(samples: Mapping[str, list[Sample]]) -> int:
    return sum(sample.num_tokens for found in samples.values() for sample in found)
