"""pass@k and maj@k against all subsets in all orders, and as a command on a run."""

import json
from itertools import combinations, permutations
from math import factorial

import numpy as np
import pytest

from analysis.baselines.votes import Sample, any_right, majority
from analysis.curves import curve
from analysis.stats.subsets import majority_at, pass_at


def brute_force(samples: list[Sample], choose, k: int) -> float:
    """The mean outcome over all ordered subsets of k."""
    subsets = list(combinations(samples, k))
    orders = [choose(order) for subset in subsets for order in permutations(subset)]
    assert len(orders) == len(subsets) * factorial(k)
    return float(np.mean(orders))


def drawn(seed: int) -> list[Sample]:
    """Three to six samples of up to three answers, some without one; the same answer is not always correct."""
    rng = np.random.default_rng(seed)
    answers = rng.choice(["paris", "rome", "bonn", ""], rng.integers(3, 7))
    return [Sample(str(answer), bool(rng.random() < (0.8 if answer == "paris" else 0.2)), 1) for answer in answers]


@pytest.mark.parametrize("seed", range(40))
def test_both_curves_are_the_means_over_all_ordered_subsets(seed):
    samples = drawn(seed)
    passed, voted = curve({"q": samples})
    for k in range(1, len(samples) + 1):
        assert passed[k - 1].value == pytest.approx(brute_force(samples, any_right, k))
        assert voted[k - 1].value == pytest.approx(brute_force(samples, majority, k))


def test_known_values():
    assert pass_at(4, 1, 4).tolist() == pytest.approx([0.25, 0.5, 0.75, 1])
    assert pass_at(4, 0, 4).tolist() == [0, 0, 0, 0]
    assert majority_at([(3, 3), (2, 0)], (0, 0), 5).tolist() == pytest.approx([0.6, 0.6, 0.7, 0.7, 1])
    assert majority_at([], (3, 0), 3).tolist() == [0, 0, 0]


def test_many_samples_stay_exact():
    half = majority_at([(500, 500), (500, 0)], (0, 0), 64)
    assert half.tolist() == pytest.approx([0.5] * 64)
    assert majority_at([(600, 600), (400, 0)], (0, 0), 64)[-1] > 0.94


def test_a_question_counts_once_and_the_fewest_samples_bound_k():
    right, wrong = Sample("a", True, 1), Sample("b", False, 1)
    passed, voted = curve({"q0": [right] * 5, "q1": [wrong, wrong, right]})
    assert [len(passed), len(voted)] == [3, 3]
    assert [estimate.value for estimate in passed] == pytest.approx([2 / 3, 5 / 6, 1])
    assert [estimate.value for estimate in voted] == pytest.approx([2 / 3, 2 / 3, 0.5])
    assert {estimate.num_questions for estimate in passed} == {2}
    assert all(estimate.low <= estimate.value <= estimate.high for estimate in [*passed, *voted])


def test_the_command_starts_at_the_run_s_own_figures(finished):
    for arguments in (["run=demo"], ["run=demo", "iteration=1"]):
        said = finished.stage("analysis.curves", *arguments).stdout
        assert [line.split(",")[0] for line in said.splitlines() if line.startswith("M_")] == [
            "M_0", "M_1"][-1 if len(arguments) > 1 else 0 :]  # fmt: skip
    metrics = json.loads((finished.run("demo") / "iter_01" / "metrics.json").read_text())["splits"]["test"]
    shown = said.splitlines()[-1].replace("(", " ").split()
    assert [shown[0], shown[1], shown[-4]] == ["1", f"{100 * metrics['t1']:.1f}", f"{100 * metrics['t2']:.1f}"]
    missing = finished.stage("analysis.curves", "run=demo", "iteration=7", check=False)
    assert missing.returncode == 2 and "no scored iteration 7: run `make iterate" in missing.stderr
