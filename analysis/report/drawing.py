"""How the report's plots look, and how they become files: PNG and SVG for papers, SVG as a part of the page.

Colors are Okabe and Ito's, told apart by all common kinds of color vision, and never the only cue: series differ in
marker and label too. One panel is as wide as a phone, so a report reflows by panels.
"""

import io
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.stats.intervals import Estimate
from store.publish import write_atomic

BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"
INK, MUTED, GRID = "#1b1f24", "#5f6871", "#d9dee3"  # the report's style sheet knows these, and darkens the page
PANEL = (3.1, 2.35)  # inches
MARGIN = 0.3  # inches beside a legend
TITLE_PAD, ROW = 20, 13  # points between a title and its axes, with a legend of one row; of every further row
STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "ytick.major.size": 0,
    "xtick.major.size": 3,
    "legend.frameon": False,
}


class Series(NamedTuple):
    """One line: a label, a color, a marker, and {iteration, or round: estimate}."""

    label: str
    color: str
    marker: str
    points: Mapping[int, Estimate]


def panel(name: str, unit: str, over: str = "iteration n of checkpoint Mₙ") -> tuple[Figure, Axes]:
    """Return an empty panel over iterations, or rounds."""
    figure = Figure(figsize=PANEL, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(name, pad=TITLE_PAD)
    axes.set_xlabel(over)
    axes.set_ylabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=11, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    return figure, axes


def draw_series(axes: Axes, series: list[Series], line: str = "-", name: str = "M{}") -> None:
    """Lines with intervals, side by side so that they do not cover each other. name: of a point, in its tooltip."""
    for index, (label, color, marker, points) in enumerate(series):
        numbers = [n + 0.12 * (index - (len(series) - 1) / 2) for n in points]
        values = [100 * point.value for point in points.values()]
        axes.plot(numbers, values, linestyle=line, color=color, linewidth=1.6, marker=marker, markersize=4.5,
                  markeredgewidth=0, label=label, clip_on=False)  # fmt: skip
        for x, (n, point) in zip(numbers, points.items(), strict=True):
            axes.vlines(x, 100 * point.low, 100 * point.high, color=color, linewidth=1.2, alpha=0.75)
            (spot,) = axes.plot([x], [100 * point.value], marker=marker, markersize=9, alpha=0)
            spot.set_gid(tooltip(label, name.format(n), point.with_interval(unit=" %")))
    set_iterations(axes, series[0].points)


def draw_stack(
    axes: Axes, series: Mapping[str, Mapping[int, float]], colors: Mapping[str, str], words: Callable[[float], str]
) -> None:
    """{label: {iteration: amount}} as stacked bars; labels without any amount are left out."""
    base: list[float] = []
    for label, amounts in series.items():
        set_iterations(axes, amounts)
        if not any(amounts.values()):
            continue
        base = base or [0.0] * len(amounts)
        draw_bars(axes, label, colors[label], amounts, {n: words(amount) for n, amount in amounts.items()}, base)
        base = [below + amount for below, amount in zip(base, amounts.values(), strict=True)]
    axes.set_ylim(0, 1.12 * max([*base, 0]) or 1)
    draw_legend(axes)


def draw_bars(
    axes: Axes, label: str, color: str, heights: Mapping[int, float], tips: Mapping[int, str], base: list[float]
) -> None:
    bars = axes.bar(list(heights), list(heights.values()), 0.55, bottom=base, color=color, label=label)
    for bar, (n, tip) in zip(bars, tips.items(), strict=True):
        bar.set_gid(tooltip(label, f"M{n}", tip))


def draw_legend(axes: Axes) -> None:
    """Under the title, where no line can run through it, in as few rows as the figure is wide enough for."""
    handles, labels = axes.get_legend_handles_labels()
    for columns in range(len(handles), 0, -1):
        legend = axes.legend(
            handles, labels, loc="lower left", ncols=columns, bbox_to_anchor=(-0.08, 1.02), fontsize=8,
            handlelength=1.0, handletextpad=0.4, columnspacing=0.8, borderaxespad=0,
        )  # fmt: skip
        legend.set_in_layout(False)  # a wide one would squeeze the panel
        if legend.get_window_extent().width <= axes.figure.bbox.width - MARGIN * axes.figure.dpi:
            rows = -(-len(handles) // columns)
            axes.set_title(axes.get_title(loc="left"), pad=TITLE_PAD + ROW * (rows - 1))
            break


def set_iterations(axes: Axes, numbers: Iterable[int]) -> None:
    axes.set_xlim(min(numbers) - 0.5, max(numbers) + 0.5)


def tooltip(label: str, point: str, words: str) -> str:
    """Return an SVG id that `inline` turns into a tooltip."""
    return f"tip: {label}, {point}: {words}"


def plot_files(drawn: Mapping[str, Figure], labels: Mapping[str, str]) -> tuple[dict[str, bytes], dict[str, Markup]]:
    """Every plot as a PNG and an SVG file, and as a part of the page. labels: by a plot's name up to the first -."""
    files, svgs = {}, {}
    for name, figure in drawn.items():
        files[f"{name}.png"], files[f"{name}.svg"] = png(figure), svg(figure, name)
        svgs[name] = Markup(inline(files[f"{name}.svg"], name, labels[name.partition("-")[0]]))
    return files, svgs


def png(figure: Figure) -> bytes:
    sink = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(sink, format="png", dpi=300, metadata={"Software": None})
    return sink.getvalue()


def svg(figure: Figure, name: str) -> bytes:
    sink = io.BytesIO()
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": name}):
        figure.savefig(sink, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return sink.getvalue()


def write_figure(figure: Figure, path: Path, name: str) -> None:
    """Write <path>.png and <path>.svg, and say so. name: of the kind of picture, which makes the SVG the same twice."""
    for ending, content in (("png", png(figure)), ("svg", svg(figure, name))):
        write_atomic(path.with_name(f"{path.name}.{ending}"), content, replace=True)
    print(f"{path}.png, .svg", flush=True)


def inline(content: bytes, name: str, label: str) -> str:
    """Return a plot's SVG as part of the report: an image with a label, tooltips, and colors that the style sheet may
    set.

    Style attributes become presentation attributes, which rules of a style sheet override and the page's content
    security policy allows.
    """
    text = content.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<(metadata|defs)>\s*<style.*?</\1>|<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' style="([^"]*)"', lambda match: presentation(match[1]), text)
    text = re.sub(r'<g id="tip: ([^"]*)"', r"<g><title>\1</title", text)
    text = re.sub(r' id="[a-z0-9]+_\d+"', "", text)
    opening = f'<svg class="plot" role="img" aria-label="{label}" '
    return re.sub(r'<svg[^>]*?(viewBox="[^"]*")[^>]*>', rf"{opening}\1>", text, count=1)


def presentation(style: str) -> str:
    """`fill: none; stroke: #000` as attributes."""
    pairs = [pair.partition(":") for pair in style.split(";") if ":" in pair]
    return "".join(f' {name.strip()}="{value.strip()}"' for name, _, value in pairs if name.strip() != "font-family")
