"""A picture of comparisons: where each dot and line stands, and which are filled."""

import pytest
from matplotlib.colors import to_hex

from analysis.report.differences import lines, main
from analysis.report.drawing import BLUE, MUTED, svg
from analysis.stats.comparisons import Comparison
from analysis.stats.intervals import Estimate
from store.errors import ConfigError

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


@pytest.mark.parametrize("given", [[], ["study=a", "explain=b"]])
def test_one_question_is_drawn_at_a_time(given):
    with pytest.raises(ConfigError, match="one of transfer=<name>, explain=<name>, ablation=<name>, study=<name>"):
        main(given)
