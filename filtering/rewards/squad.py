"""SQuAD's rewards of the final answer; where SQuAD drops ASCII punctuation, all of Unicode's is dropped, in NFKC."""

from collections import Counter
from collections.abc import Sequence
from operator import contains

import numpy as np

from filtering.rewards.texts import columns


def exact_match(texts: Sequence[str], golds: Sequence[Sequence[str]]) -> np.ndarray:
    """Score 1 where the final answer's tokens are those of some alias."""
    texts, golds = columns(texts, golds)
    return np.fromiter(map(contains, golds.squad_tokens, texts.final.squad_tokens), np.float32, len(texts))


def token_f1(texts: Sequence[str], golds: Sequence[Sequence[str]]) -> np.ndarray:
    """Score the token F1 of the final answer, in [0, 1], against the alias that fits best."""
    texts, golds = columns(texts, golds)
    scores = np.zeros(len(texts), dtype=np.float32)
    prepared: dict[int, tuple[list[str], list[Counter[str]]]] = {}
    for row, (tokens, aliases) in enumerate(zip(texts.final.squad_tokens, golds.squad_tokens, strict=True)):
        if id(aliases) not in prepared:
            bags = [Counter(alias.split()) for alias in aliases]
            prepared[id(aliases)] = [f" {token} " for token in set().union(*bags)], bags
        vocabulary, bags = prepared[id(aliases)]
        for token in vocabulary:
            if token in tokens:  # most texts have no token of a gold alias
                scores[row] = max(_f1(tokens.split(), bag) for bag in bags)
                break
    return scores


def _f1(tokens: list[str], gold_tokens: Counter[str]) -> float:
    num_same = sum([min(count, tokens.count(token)) for token, count in gold_tokens.items()])
    return 2 * num_same / (len(tokens) + gold_tokens.total())
