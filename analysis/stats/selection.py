"""Which iteration counts: the best on validation and the last. The test maximum is the paper's metric, no headline."""

from collections.abc import Mapping
from typing import NamedTuple

from store.errors import BadInput


class Chosen(NamedTuple):
    """label: "validation-best", "last" or "paper metric"; value: the test figure of that iteration."""

    label: str
    iteration: int
    value: float


def headline(validation: Mapping[int, float], test: Mapping[int, float]) -> list[Chosen]:
    """Return the figures to report, from {iteration: figure} of both splits; the first is what a user would deploy.

    M_0 (iteration 0) may win: training need not help. Of equals the earliest wins, being the cheapest. The last row,
    the maximum over the test set itself, is biased upwards and is there for comparison with published numbers only.
    """
    if not validation or validation.keys() != test.keys():
        raise BadInput(
            f"Validation has iterations {sorted(validation)} and test has {sorted(test)}, the same ones were expected: "
            "run `make iterate` until both splits of every iteration are evaluated"
        )
    chosen = {"validation-best": best(validation), "last": max(test), "paper metric": best(test)}
    return [Chosen(label, iteration, test[iteration]) for label, iteration in chosen.items()]


def best(figures: Mapping[int, float]) -> int:
    """Return the iteration with the highest figure, the earliest of equals."""
    if any(figure != figure for figure in figures.values()):
        raise BadInput(f"A figure is NaN in {dict(figures)}: an iteration without pairs cannot be ranked")
    return min(figures, key=lambda iteration: (-figures[iteration], iteration))
