"""The report of one run: its sections, its plots and its trajectories."""

from analysis import agreement, transfer
from analysis.baselines.table import read_baselines
from analysis.record import RunRecord
from analysis.report import plots, provenance, sections
from analysis.report.drawing import plot_files
from analysis.report.page import Part, render
from analysis.report.pairs import choose_questions, read_pairs
from analysis.report.viewer import coverage, embed
from analysis.report.warnings import warnings
from analysis.results import compute_results
from store.run import Run
from store.schemas import SPLITS, TRANSITIONS

VIEWS = [Part("report", "Report", "report.html"), Part("trajectories", "Trajectories", "trajectories.html")]
SECTIONS = [
    Part("accuracy", "Learning curves", "accuracy.html"),
    Part("transitions", "Transitions", "transitions.html"),
    Part("rounds", "Rounds of correction", "rounds.html"),
    Part("training-rows", "Training rows", "training_rows.html"),
    Part("rates", "Copies and failures", "rates.html"),
    Part("changes", "What corrections do", "changes.html"),
    Part("judge", "Judge", "judge.html"),
    Part("baselines", "Baselines", "baselines.html"),
    Part("transfer", "Transfer", "transfer.html"),
    Part("cost", "Cost", "cost.html"),
    Part("record", "Record", "record.html"),
]
NUM_DIFFERING = 12  # texts of each kind on which the judge and another reward differ
SCRIPTS = ["text.js", "views.js", "trajectories.js"]


def run_report(run: Run, record: RunRecord) -> tuple[bytes, dict[str, bytes]]:
    """Return the report's file and {file name: content} of its plots."""
    results = compute_results(record)
    chosen = choose_questions(record)
    pairs = read_pairs(run, record, chosen)
    files, svgs = plot_files(plots.draw_plots(record, results), plots.LABELS)
    trajectories, cautions = record.iterations[-1].manifests["trajectories"], warnings(record)
    baselines, transfers = read_baselines(run), transfer.transfers(run)
    judge = agreement.compare(run.iteration(record.iterations[-1].number), NUM_DIFFERING)
    there = {"baselines": baselines, "transfer": transfers, "rounds": record.iterations[0].rounds, "judge": judge}
    shown = [section for section in SECTIONS if there.get(section.id, True)]
    context = sections.training_rows(record) | sections.changes(record, pairs) | provenance.settings(record)
    content = render(
        record.name, VIEWS, shown, SCRIPTS, record=record, results=results, svgs=svgs, **context,
        baselines=baselines, transfers=transfers, judge=judge,
        summary=sections.summary(record), parts=sections.parts(record), transitions=TRANSITIONS,
        rate_names=sections.RATES, costs=provenance.costs(record), quarantined=provenance.quarantined(record),
        lineage=provenance.lineage(record), warnings=cautions, alerts=sections.alerts(record, cautions), splits=SPLITS,
        numbers=[iteration.number for iteration in record.iterations],
        rewards=trajectories.settings["scoring"]["rewards"],
        reason_names=sorted(pairs.shown.reasons),
        flag_names=sorted(pairs.shown.flags),
        sampled=sampled(coverage(record, chosen)), data=embed(record, pairs.shown),
    )  # fmt: skip
    return content, files


def sampled(shown: dict[str, tuple[int, int]]) -> str:
    """Return what of the run the viewer holds."""
    if all(part == whole for part, whole in shown.values()):
        return "This file holds all pairs of the run."
    parts = ", ".join(f"{part:,} of {whole:,} {split}" for split, (part, whole) in shown.items())
    return f"This file holds all pairs of a sample of the questions, drawn by a hash of their id: {parts} questions."
