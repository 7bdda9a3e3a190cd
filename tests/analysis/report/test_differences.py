"""A picture of comparisons: where each dot and line stands, and which are filled."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from analysis.report.differences import QUESTIONS, lines, main
from analysis.report.drawing import BLUE, MUTED, svg
from analysis.stats.comparisons import Comparison, compare
from analysis.stats.counts import QuestionCounts
from analysis.stats.intervals import Estimate
from store.errors import ConfigError
from store.schemas import TRANSITIONS

NAN = float("nan")


def comparison(value: float, p_value: float) -> Comparison:
    return Comparison(Estimate(value, value - 0.05, value + 0.05, 100), 0.03, p_value, "exact McNemar")


def test_every_comparison_is_a_line_where_its_interval_is_filled_where_it_differs():
    # 0.03 does not differ once the three that have a value are adjusted together
    compared = [("one", comparison(0.2, 0.0001)), ("two", comparison(-0.1, 0.03)), ("three", comparison(0.0, 1.0)),
                ("without a value", Comparison(Estimate(NAN, NAN, NAN, 0), NAN, NAN, "none"))]  # fmt: skip
    figure = lines("Title", compared)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [name for name, _ in compared]
    dots = [line for line in axes.get_lines() if line.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots[:3]] == pytest.approx([20, -10, 0])
    assert [to_hex(dot.get_markerfacecolor()) for dot in dots] == [BLUE, *["#ffffff"] * 3]
    spans = [[x for x, _ in part.get_segments()[0]] for part in axes.collections]
    assert spans[:3] == [pytest.approx([15, 25]), pytest.approx([-15, -5]), pytest.approx([-5, 5])]
    assert [to_hex(part.get_color()[0]) for part in axes.collections] == [BLUE, *[MUTED] * 3]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first is on top"
    assert svg(figure, "study") == svg(lines("Title", compared), "study"), "the same bytes twice"


def test_a_dot_is_filled_where_the_words_claim_a_difference():
    # nine questions that all gain the same: the test finds it, the interval of so few does not exclude zero
    ids = np.array([f"q{number}" for number in range(9)])
    nothing = dict.fromkeys(TRANSITIONS, np.zeros(9))
    before, after = (
        QuestionCounts(ids, nothing | {"c->c": np.full(9, right), "i->i": np.full(9, 3 - right)})
        for right in (1.0, 2.0)
    )
    compared = compare(before, after)
    assert compared.p_value < 0.05 and compared.words().startswith("no difference shown")
    (axes,) = lines("Title", [("gain", compared)]).axes
    assert [dot.get_label() for dot in axes.get_lines() if dot.get_marker() == "o"] == ["no difference shown"]


@pytest.mark.parametrize("given", [[], ["study=a", "explain=b"]])
def test_one_question_is_drawn_at_a_time(given):
    with pytest.raises(ConfigError, match="one of transfer=<name>, explain=<name>, ablation=<name>, study=<name>"):
        main(given)


def test_without_a_comparison_nothing_is_drawn(tmp_path, monkeypatch, capsys):
    """As of a transfer of M_0 alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(QUESTIONS, "transfer", lambda name: iter([(f"{name}-on-x", "against M0", [])]))
    main(["transfer=demo"])
    assert capsys.readouterr().out == "demo-on-x: nothing is compared, so nothing is drawn\n"
    assert not list(tmp_path.iterdir())
