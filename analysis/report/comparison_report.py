"""The report of several runs: a table and a plot of all, the grid, the means over seeds, and the start estimate."""

from collections.abc import Sequence

from analysis.record import RunRecord
from analysis.report import plots
from analysis.report.comparison import against_first, heat_maps, make_cell, over_seeds, start_table
from analysis.report.drawing import plot_files
from analysis.report.page import Part, render
from store.run import Run

VIEWS = [Part("report", "Comparison", "comparison.html")]
SECTIONS = {  # shown where there is something to show
    "cells": Part("runs", "Runs", "runs.html"),
    "maps": Part("grid", "Samples per question", "grid.html"),
    "seeds": Part("seeds", "Seeds", "seeds.html"),
    "start": Part("start", "Start estimate", "start.html"),
}
SCRIPTS = ["views.js"]


def comparison_report(
    title: str, runs: Sequence[Run], records: Sequence[RunRecord], unfinished: Sequence[str]
) -> tuple[bytes, dict[str, bytes]]:
    """Return the report's file and {file name: content} of its plot. BadInput for runs on other questions than the
    first's."""
    cells = [make_cell(record) for record in records]
    content = {
        "cells": cells,
        "maps": heat_maps(cells),
        "seeds": over_seeds(cells),
        "start": start_table(runs, records),
    }
    files, svgs = plot_files({"runs": plots.runs(cells)}, plots.LABELS)
    sections = [part for name, part in SECTIONS.items() if content[name]]
    html = render(
        title, VIEWS, sections, SCRIPTS, svgs=svgs, words=against_first(cells), unfinished=unfinished, **content
    )
    return html, files
