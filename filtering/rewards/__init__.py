"""Rewards: one dict of functions `(texts, golds) -> float32 array`; a new one is an entry more.

`texts` are n raw generated texts and `golds` n lists of gold aliases; the result has shape (n,). NaN marks a text
that could not be scored, which is never 0.0. What a model thinks before it answers is never scored (store.thinking),
and every reward but `in_accuracy` looks at the final answer alone (final_answer).
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np

from conf.judges import JUDGE
from conf.reward_file import OWN, UNIT_TESTS, WEIGHTED
from filtering.rewards.answer_match import answer_match, fold
from filtering.rewards.in_accuracy import in_accuracy, in_accuracy_final
from filtering.rewards.normalize import NORMALIZED, SQUAD_TOKENS, no_plain_string
from filtering.rewards.numeric import not_one_number, numeric
from filtering.rewards.squad import exact_match, token_f1
from filtering.rewards.symbolic import not_readable, symbolic
from store.errors import ConfigError

Reward = Callable[[Sequence[str], Sequence[Sequence[str]]], np.ndarray]

REWARDS: dict[str, Reward] = {
    "in_accuracy": in_accuracy,
    "in_accuracy_final": in_accuracy_final,
    "answer_match": answer_match,
    "exact_match": exact_match,
    "token_f1": token_f1,
    "numeric": numeric,
    "symbolic": symbolic,
}

# What says of a gold alias why a reward cannot use it, as the end of a sentence; None where it can.
GOLD_PROBLEMS: dict[str, Callable[[str], str | None]] = {
    "in_accuracy": partial(no_plain_string, normalizer=NORMALIZED),
    "in_accuracy_final": partial(no_plain_string, normalizer=NORMALIZED),
    "answer_match": partial(no_plain_string, normalizer=lambda aliases: list(map(fold, aliases))),
    "exact_match": partial(no_plain_string, normalizer=SQUAD_TOKENS),
    "token_f1": partial(no_plain_string, normalizer=SQUAD_TOKENS),
    "numeric": not_one_number,
    "symbolic": not_readable,
}


def require_known(rewards: Iterable[str]) -> None:
    """Raise ConfigError for a name that is not in REWARDS, nor JUDGE, OWN, UNIT_TESTS or WEIGHTED."""
    known = (*REWARDS, JUDGE, OWN, UNIT_TESTS, WEIGHTED)
    unknown = [reward for reward in rewards if reward not in known]
    if unknown:
        raise ConfigError(f"reward {unknown[0]} is not known; there are {', '.join(known)}: start another run")
