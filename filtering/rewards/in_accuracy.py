"""In-accuracy (arXiv 2503.08681): some gold alias's tokens stand in a row among those of the text."""

from collections.abc import Sequence

import numpy as np

from filtering.rewards.texts import Texts, columns


def in_accuracy(texts: Sequence[str], golds: Sequence[Sequence[str]]) -> np.ndarray:
    """Score 1 where some gold alias occurs in the whole text after normalization: the paper's reward."""
    texts, golds = columns(texts, golds)
    scores = np.zeros(len(texts), dtype=np.float32)
    for row, (text, aliases) in enumerate(zip(texts.normalized, golds.normalized, strict=True)):
        for alias in aliases:  # a plain loop: any() over a generator takes twice as long
            if alias in text:
                scores[row] = 1
                break
    return scores


def in_accuracy_final(texts: Sequence[str], golds: Sequence[Sequence[str]]) -> np.ndarray:
    """Score In-accuracy of the final answer: candidates weighed on the way to it do not count."""
    return in_accuracy(Texts.of(texts).final, golds)
