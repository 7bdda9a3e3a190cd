"""Draw what tokens gain: one picture for each grid of runs on a pool.

    python -m analysis.report.efficiency run=grid.pool

Reads what analysis.efficiency reads; writes runs/_comparisons/<grid>-efficiency.png and .svg.
"""

from collections.abc import Iterable

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from analysis.efficiency import STAR, STASC, VOTES, Grid, Point, grids, points
from analysis.report.drawing import BLUE, MUTED, ORANGE, PANEL, STYLE, VERMILLION, draw_legend, write_figure
from store.errors import stage_main
from store.run import RUNS, Run, stage_arguments

LOOKS = {STASC: (VERMILLION, "s"), STAR: (BLUE, "^"), VOTES: (ORANGE, "o")}


def main(argv: list[str]) -> None:
    """Draw the grids of a pool."""
    run = Run(stage_arguments(argv, "analysis.report.efficiency", "run")["run"])
    for grid in grids(run):
        write_figure(frontier(grid), RUNS / "_comparisons" / f"{grid.name}-efficiency", "efficiency")


def frontier(grid: Grid) -> Figure:
    """Draw gain over generated tokens, each size with its interval and its name, and the best so far."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PANEL[0] * 1.6, PANEL[1] * 1.3), layout="constrained")
        axes = figure.add_subplot()
        found = list(points(grid))
        for point in found:
            color, marker = LOOKS[point.way]
            gain = point.gain.difference
            label = "" if point.way in axes.get_legend_handles_labels()[1] else point.way
            axes.vlines(point.tokens, 100 * gain.low, 100 * gain.high, color=color, linewidth=1.2, alpha=0.75)
            axes.plot(point.tokens, 100 * gain.value, linestyle="none", color=color, marker=marker, markersize=4.5,
                      markeredgewidth=0, label=label)  # fmt: skip
            axes.annotate("{} × {}".format(*point.size), (point.tokens, 100 * gain.value), xytext=(4, 3),
                          textcoords="offset points", fontsize=7, color=MUTED)  # fmt: skip
        tokens, gains = frontier_of(found)
        axes.step(tokens, gains, where="post", color=MUTED, linewidth=0.8, linestyle="--", zorder=0)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_formatter("")
        axes.set_title("Gain over generated tokens", pad=20)
        axes.set_xlabel("generated tokens")
        axes.set_ylabel("gain over t2 of M₀ (points)")
        draw_legend(axes)
    return figure


def frontier_of(found: Iterable[Point]) -> tuple[list[float], list[float]]:
    """Return (tokens, points gained) of the points that gain more than any with fewer tokens, whichever way."""
    best: list[Point] = []
    for point in sorted(found, key=lambda point: (point.tokens, -point.gain.difference.value)):
        if not best or point.gain.difference.value > best[-1].gain.difference.value:
            best.append(point)
    return [point.tokens for point in best], [100 * point.gain.difference.value for point in best]


if __name__ == "__main__":
    stage_main(main)
