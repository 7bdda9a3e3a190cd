"""Which checkpoint does what in iteration n: the strategy's letters E(volving) and F(ixed), said once.

    strategy   initial answers y1   corrections y2   fine-tuned into M_n
    E . E      M_n                  M_n              M_{n-1}
    E . F      M_n                  M_n              M_0
    F . E      M_0                  M_n              M_{n-1}
    F . F      M_0                  M_n              M_0

The letter between them names the filter (filtering.filters). Held-out splits follow the first letter too, unless
eval.initialization is `evolving`.
"""

from typing import NamedTuple

from conf.schema import Config

FIXED = "fixed"
# Random filters, and the one that keeps as many pairs as each draws: the controls for what selecting them adds.
MATCHED = {
    "random_matched": "improving",
    "random_matched_non_decreasing": "non_decreasing",
    "random_matched_equal_only": "equal_only",
}


class Samples(NamedTuple):
    """How many samples a question gets: N_init, N_corr of each initial answer, and how often these are corrected."""

    num_initial: int
    num_corrections: int
    num_rounds: int


def answers_from(config: Config, n: int, split: str = "train") -> int:
    """Return m, where M_m gives the initial answers of iteration n (algorithm 1, step 1)."""
    evaluated_alike = split == "train" or config.eval.initialization == "strategy"
    letter = config.strategy.initialization if evaluated_alike else config.eval.initialization
    return 0 if letter == FIXED else n


def corrects_with(n: int) -> int:
    """Return m, where M_m corrects the answers of iteration n (step 2): always M_n."""
    return n


def fine_tunes_from(fine_tuning: str, n: int) -> int:
    """Return m, where M_n, n >= 1, is fine-tuned from M_m (step 4); fine_tuning: the strategy's setting."""
    return 0 if fine_tuning == FIXED else n - 1


def rows_from(rows: str, n: int) -> dict[str, int]:
    """Return the iterations whose kept rows M_n is trained on (step 4), in order, each under its name among the parents
    of M_n; rows: `last` for D_{n-1}, `all` for D_0 .. D_{n-1}."""
    earlier = range(n - 1) if rows == "all" else ()
    return {f"sft_{m:02d}": m for m in earlier} | {"sft": n - 1}


def learned_from(config: Config, n: int) -> set[int]:
    """Return the iterations whose kept rows M_n has learned from, itself or in a model that it was fine-tuned from."""
    found: set[int] = set()
    while n:
        found.update(rows_from(config.training.rows, n).values())
        n = fine_tunes_from(config.strategy.fine_tuning, n)
    return found


def samples_per_question(config: Config, split: str) -> Samples:
    """Return the samples of each question of a split: held-out answers have one correction, eval.rounds times."""
    if split == "train":
        return Samples(config.sampling.num_initial, config.sampling.num_corrections, 1)
    return Samples(config.eval.num_samples, 1, config.eval.rounds)
