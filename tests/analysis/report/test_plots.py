"""A legend lies inside its figure and under its title, however many words it has."""

import matplotlib
import pytest

from analysis.report.drawing import STYLE, draw_legend, panel

LEGENDS = [
    ["initial answers, t1", "corrections, t2"],
    ["incorrect → correct", "correct → incorrect", "t2 − t1"],
    ["incorrect, then correct", "correct twice", "unfiltered", "drawn at random"],
    [f"M{number}" for number in range(6)],
]


@pytest.mark.parametrize("labels", LEGENDS, ids=len)
def test_a_legend_covers_nothing_and_is_not_cut_off(labels):
    with matplotlib.rc_context(STYLE):
        figure, axes = panel("Validation", "share of all pairs (%)")
        for label in labels:
            axes.plot([0, 1], [0, 1], label=label)
        draw_legend(axes)
        figure.draw_without_rendering()  # lays it out
    legend, title = axes.get_legend().get_window_extent(), axes._left_title.get_window_extent()
    assert 0 <= legend.x0 < legend.x1 <= figure.bbox.x1
    assert axes.bbox.y0 < legend.y0 < legend.y1 <= title.y0 < title.y1 <= figure.bbox.y1
