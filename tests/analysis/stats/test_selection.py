"""Iteration choice: by validation, and the test maximum never as a headline."""

import pytest

from analysis.stats.selection import headline
from store.errors import BadInput


def test_validation_chooses_and_the_test_maximum_is_only_the_papers_metric():
    rows = headline({0: 0.30, 1: 0.34, 2: 0.33}, {0: 0.35, 1: 0.31, 2: 0.32})
    assert rows == [("validation-best", 1, 0.31), ("last", 2, 0.32), ("paper metric", 0, 0.35)]


def test_of_equals_the_earliest_iteration_is_chosen():
    assert headline({0: 0.3, 1: 0.3}, {0: 0.2, 1: 0.2})[0].iteration == 0


def test_splits_with_different_iterations_are_refused():
    with pytest.raises(BadInput, match=r"Validation has iterations \[0\] and test has \[0, 1\]"):
        headline({0: 0.3}, {0: 0.3, 1: 0.4})


def test_an_iteration_without_pairs_is_not_ranked():
    with pytest.raises(BadInput, match="NaN"):
        headline({0: 0.3, 1: float("nan")}, {0: 0.3, 1: 0.4})
