"""A run's plots, each drawn once: what is in the report is what is in the files."""

from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from analysis.record import RunRecord
from analysis.report.comparison import Cell
from analysis.report.drawing import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PANEL,
    PURPLE,
    SKY,
    STYLE,
    VERMILLION,
    Series,
    draw_bars,
    draw_legend,
    draw_series,
    draw_stack,
    panel,
)
from analysis.results import Results

STAGES = ("training", "generation", "filtering")
UNITS = {"h": 3600, "min": 60, "s": 1}
KEPT = {
    "improving": "incorrect, then correct",
    "kept_correct": "correct twice",
    "unfiltered": "unfiltered",
    "random": "drawn at random",
}
MAX_CURVES = 6  # as many as there are colors: M_0 and the last of the others; the table has all
LABELS = {  # what a screen reader says; the numbers stand in the tables
    "accuracy": "Accuracy of initial answers and corrections over iterations",
    "corrections": "What corrections fix and break over iterations",
    "rounds": "Accuracy over rounds of correction",
    "rates": "Copies, truncations and format failures over iterations",
    "kept": "Rows kept for training over iterations",
    "time": "Time by stage over iterations",
    "tokens": "Generated tokens over iterations",
    "runs": "Accuracy of the runs on test",
}


def draw_plots(record: RunRecord, results: Results) -> dict[str, Figure]:
    """{file name without ending: figure}, in the report's order."""
    with matplotlib.rc_context(STYLE):
        plots = {}
        top = highest(results)
        for split in results.figures:
            plots[f"accuracy-{split}"] = accuracy(split, results, top)
        for split in results.figures:
            plots[f"corrections-{split}"] = corrections(split, results)
        for split in results.figures:
            plots[f"rates-{split}"] = rates(split, results)
        for split in record.iterations[0].rounds:
            plots[f"rounds-{split}"] = further_rounds(split, record)
        plots["kept-train"] = kept_rows(record)
        plots["time"] = time(record)
        plots["tokens"] = tokens(record)
    return plots


def accuracy(split: str, results: Results, top: float) -> Figure:
    """Draw learning curves: t1 and t2 over iterations, with intervals."""
    points = results.figures[split]
    series = [
        Series("initial answers, t1", BLUE, "o", {n: figures["t1"] for n, figures in points.items()}),
        Series("corrections, t2", VERMILLION, "s", {n: figures["t2"] for n, figures in points.items()}),
    ]
    figure, axes = panel(split.capitalize(), "correct answers (%)")
    draw_series(axes, series)
    axes.set_ylim(0, top)
    draw_legend(axes)
    return figure


def corrections(split: str, results: Results) -> Figure:
    """Draw what corrections fix and break: i->c up, c->i down, and their sum, t2 - t1, with its interval."""
    points = results.figures[split]
    figure, axes = panel(split.capitalize(), "share of all pairs (%)")
    for name, label, color, sign in (
        ("i->c", "incorrect → correct", GREEN, 1),
        ("c->i", "correct → incorrect", ORANGE, -1),
    ):
        heights = {n: 100 * sign * figures[name].value for n, figures in points.items()}
        tips = {n: figures[name].with_interval(unit=" %") for n, figures in points.items()}
        draw_bars(axes, label, color, heights, tips, [0.0] * len(points))
    net = {n: results.deltas[split][n].difference for n in points}
    draw_series(axes, [Series("t2 − t1", INK, "D", net)], line="none")
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.use_sticky_edges = False  # bars would otherwise touch the frame
    axes.margins(y=0.1)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:+g}".replace("-", "−") if value else "0")
    draw_legend(axes)
    return figure


def further_rounds(split: str, record: RunRecord) -> Figure:
    """Accuracy of initial answers (round 0) and of every round of corrections, a line per checkpoint."""
    drawn = [*record.iterations[:1], *record.iterations[1:][1 - MAX_CURVES :]]
    looks = zip((BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY), "os^Dv*", strict=True)
    series = [
        Series(f"M{iteration.number}", color, marker, dict(enumerate(iteration.rounds[split])))
        for iteration, (color, marker) in zip(drawn, looks, strict=False)
    ]
    figure, axes = panel(split.capitalize(), "correct answers (%)", "rounds of correction")
    draw_series(axes, series, name="round {}")
    axes.set_ylim(bottom=0)
    draw_legend(axes)
    return figure


def rates(split: str, results: Results) -> Figure:
    """Draw copies, truncations and format failures of corrections."""
    points = results.figures[split]
    chosen = (
        ("copies", "copy_rate", BLUE, "o"),
        ("truncated", "correction_truncation_rate", VERMILLION, "s"),
        ("no final answer", "correction_format_failure_rate", PURPLE, "^"),
    )
    series = [
        Series(label, color, marker, {n: figures[name] for n, figures in points.items()})
        for label, name, color, marker in chosen
    ]
    figure, axes = panel(split.capitalize(), "corrections (%)")
    draw_series(axes, series)
    axes.set_ylim(bottom=0)
    draw_legend(axes)
    return figure


def kept_rows(record: RunRecord) -> Figure:
    """Rows that the next model is trained on, by why they are kept."""
    kept = {
        label: {it.number: it.metrics["splits"]["train"]["reasons"].get(reason, 0) for it in record.iterations}
        for reason, label in KEPT.items()
    }
    colors = dict(zip(kept, (GREEN, BLUE, SKY, PURPLE), strict=True))
    figure, axes = panel("Train", "rows kept")
    draw_stack(axes, kept, colors, lambda value: f"{value:,} rows")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    return figure


def time(record: RunRecord) -> Figure:
    """Time by stage, all workers together."""
    seconds = {
        stage: {it.number: it.costs.get(stage, {}).get("seconds", 0.0) for it in record.iterations} for stage in STAGES
    }
    longest = max(map(sum, zip(*(of_stage.values() for of_stage in seconds.values()), strict=True)))
    unit, size = next((unit, size) for unit, size in UNITS.items() if longest >= 2 * size or size == 1)
    figure, axes = panel("Time", f"worker time ({unit})")
    scaled = {stage: {n: value / size for n, value in by.items()} for stage, by in seconds.items()}
    colors = dict(zip(STAGES, (PURPLE, BLUE, ORANGE), strict=True))
    draw_stack(axes, scaled, colors, lambda value: f"{value:,.1f} {unit}")
    return figure


def tokens(record: RunRecord) -> Figure:
    """Tokens generated for answers and corrections of all splits."""
    kinds = {"initial answers": "num_initial_answer_tokens", "corrections": "num_correction_tokens"}
    generated = {
        label: {it.number: sum(split[name] for split in it.metrics["splits"].values()) for it in record.iterations}
        for label, name in kinds.items()
    }
    figure, axes = panel("Generated tokens", "tokens")
    draw_stack(axes, generated, dict(zip(kinds, (BLUE, VERMILLION), strict=True)), lambda value: f"{value:,} tokens")
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    return figure


def runs(cells: Sequence[Cell]) -> Figure:
    """Several runs under each other: t1 and t2 on test, with intervals."""
    with matplotlib.rc_context(STYLE | {"axes.grid.axis": "x"}):
        figure = Figure(figsize=(PANEL[0] * 1.6, 0.9 + 0.32 * len(cells)), layout="constrained")
        axes = figure.add_subplot()
        initial = [cell.t1 for cell in cells], -0.14, BLUE, "o", "initial answers, t1"
        corrected = [cell.t2 for cell in cells], 0.14, VERMILLION, "s", "corrections, t2"
        for estimates, offset, color, marker, label in (initial, corrected):
            heights = [row + offset for row in range(len(cells))]
            for height, estimate in zip(heights, estimates, strict=True):
                axes.hlines(height, 100 * estimate.low, 100 * estimate.high, color=color, linewidth=1.2, alpha=0.75)
            axes.plot([100 * e.value for e in estimates], heights, linestyle="none", color=color, marker=marker,
                      markersize=4.5, markeredgewidth=0, label=label)  # fmt: skip
        axes.set_yticks(range(len(cells)), [cell.row.run for cell in cells])
        axes.set_ylim(len(cells) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.set_title("Test")
        axes.set_xlabel("correct answers (%)")
        draw_legend(axes)
    return figure


def highest(results: Results) -> float:
    """Return the common upper end of the accuracy axes, in per cent."""
    bounds = [f[name].high for by in results.figures.values() for f in by.values() for name in ("t1", "t2")]
    return min(100.0, max(1.0, 112 * max(bounds)))
