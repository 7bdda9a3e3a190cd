"""What k of a question's n samples come to: expected over all subsets of k of them, so no draw has a say.

pass@k (Chen et al. 2021): any of the k is correct. maj@k (self-consistency, Wang et al. 2023): the answer that most of
the k give is correct; of answers given equally often each is as likely to be the first.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import comb

import numpy as np

Answer = tuple[int, int]  # how many samples give an answer, and how many of these are correct


def pass_at(num_samples: int, num_correct: int, most: int) -> np.ndarray:
    """Return pass@1 .. pass@most of a question, float64 of shape (most,): 1 - C(n - c, k) / C(n, k)."""
    wrong = num_samples - num_correct
    return np.array([1 - comb(wrong, k) / comb(num_samples, k) for k in range(1, most + 1)])


def majority_at(answers: Sequence[Answer], blank: Answer, most: int) -> np.ndarray:
    """Return maj@1 .. maj@most of a question, float64 of shape (most,).

    answers: of the samples with an answer; blank: of those without one, which do not vote. Where all k are without one
    the first counts. Equals analysis.baselines.votes.majority, averaged over all orders of all subsets. Takes 2 ms for
    20 samples, 8 ms for 64.
    """
    return _majority_at(tuple(sorted(answers)), blank, most)


@lru_cache(maxsize=10_000)
def _majority_at(answers: tuple[Answer, ...], blank: Answer, most: int) -> np.ndarray:
    subsets = np.array([float(comb(sum(count for count, _ in answers) + blank[0], k)) for k in range(most + 1)])
    none = np.array([float(comb(blank[0], k)) for k in range(most + 1)])
    correct = none * (blank[1] / blank[0] if blank[0] else 0.0)
    for votes in range(1, min(most, max((count for count, _ in answers), default=0)) + 1):
        # [t, k]: subsets of k where t answers have so many votes and the others fewer, and the correct shares of the t
        ways, shares = np.zeros((2, most // votes + 1, most + 1))
        ways[0] = none
        for count, num_correct in answers:
            ways_before, shares_before = ways, shares
            ways, shares = np.zeros_like(ways), np.zeros_like(shares)
            for drawn in range(min(votes - 1, count, most) + 1):
                ways[:, drawn:] += comb(count, drawn) * ways_before[:, : most + 1 - drawn]
                shares[:, drawn:] += comb(count, drawn) * shares_before[:, : most + 1 - drawn]
            if count >= votes:
                others, their_shares = ways_before[:-1, : most + 1 - votes], shares_before[:-1, : most + 1 - votes]
                ways[1:, votes:] += comb(count, votes) * others
                shares[1:, votes:] += comb(count, votes) * (their_shares + others * num_correct / count)
        correct += (shares[1:] / np.arange(1, len(shares))[:, None]).sum(axis=0)
    return correct[1:] / subsets[1:]
