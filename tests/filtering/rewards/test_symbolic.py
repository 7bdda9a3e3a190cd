"""Symbolic: the final answer as an expression, by value."""

import sys

import numpy as np
import pytest

from filtering.rewards import symbolic
from store.errors import BadInput, ConfigError

CASES = [
    ("The answer is $\\frac{2}{4}$.", "\\frac{1}{2}", 1),
    ("0.5", "\\frac{1}{2}", 1),
    ("\\frac{6}{8}", "\\frac{3}{4}", 1),
    ("so \\boxed{(3, \\frac{\\pi}{2})}", "\\left( 3, \\frac{\\pi}{2} \\right)", 1),
    ("**Final Answer:** $x^2 + 2x + 1$", "(x+1)^2", 1),
    ("$\\frac{1}{3}$", "\\frac{1}{2}", 0),
    ("I do not know", "\\frac{1}{2}", 0),
    ("\\[ \\boxed{9} \\]\n\nSo the answer is nine, not 8.", "9", 1),
    ("Final Answer: The final answer is $9$. I hope it is correct.", "9", 1),
    ("x \\in (1, 4]", "(1,4]", 1),
    ("(C)", "\\text{(C)}", 1),
    ("The answer is (C)", "C", 1),
    ("\\text{odd}", "\\text{odd}", 1),
    ("\\text{odd}", "\\text{even}", 0),
    ("\\boxed{12\\text{ cm}^2}", "12", 1),
    ("12 square units", "12", 1),
    ("12x", "12", 0),
    ("75\\%", "75\\%", 1),
    ("\\$12", "12", 1),
    ("\\(\\sqrt{12}\\)", "2\\sqrt{3}", 1),
]


@pytest.mark.parametrize(("text", "gold", "score"), CASES)
def test_symbolic_compares_by_value(text, gold, score):
    assert symbolic([text], [[gold]]) == [score]


def test_symbolic_refuses_a_gold_answer_it_cannot_read():
    with pytest.raises(BadInput, match="no mathematical expression"):
        symbolic(["1"], [["$"]])


def test_symbolic_scores_nan_not_zero_where_the_comparison_fails(monkeypatch):
    import math_verify

    def fails(*args, **kwargs):
        raise RecursionError("maximum recursion depth exceeded")

    monkeypatch.setattr(math_verify, "verify", fails)
    assert np.isnan(symbolic(["$x$"], [["y"]])).all()


def test_symbolic_without_its_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "math_verify", None)
    with pytest.raises(ConfigError, match="pip install math-verify"):
        symbolic(["1"], [["1"]])
