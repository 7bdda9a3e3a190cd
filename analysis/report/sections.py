"""What each section of a run's report shows, as plain values for its template in templates/."""

from collections import Counter
from typing import Any

from analysis.counts import TRANSITIONS
from analysis.report.pairs import Pairs
from analysis.report.record import RunRecord
from analysis.statistics import estimate_figures
from analysis.taxonomy import CATEGORIES
from data.overlap import read_overlap
from data.run import Run
from data.schemas import SPLITS

RATES = (
    "copy_rate",
    "initial_truncation_rate",
    "correction_truncation_rate",
    "initial_format_failure_rate",
    "correction_format_failure_rate",
)
KEPT = {
    "improving": "wrong, then right",
    "kept_correct": "right twice",
    "unfiltered": "the filter is off",
    "random": "drawn at random",
}
NOT_KEPT = {
    "degraded": "right, then wrong",
    "incorrect_twice": "wrong twice",
    "not_improving": "right twice, or no better",
    "not_equal": "better, where only right twice counts",
    "truncated": "correction cut off",
    "empty": "correction empty",
    "duplicate": "duplicate of a kept row",
    "over_question_cap": "over the cap per question",
    "balance": "over the balance of right twice to improving",
    "copy_cap": "over the share of copies",
    "not_drawn": "not drawn",
}


def summary(record: RunRecord) -> list[tuple[str, str]]:
    """The chips under a run's name."""
    settings, sampling = record.settings, record.settings["sampling"]
    strategy = settings["strategy"]
    words = f"{strategy['initialization']} · {strategy['filter']} · {strategy['fine_tuning']}".replace("_", " ")
    return [
        ("model", settings["model"]["path"] or settings["model"]["name"]),
        ("questions", settings["data"]["source"]),
        ("strategy", f"{strategy['name']} ({words})"),
        ("samples", f"{sampling['num_initial']} × {sampling['num_corrections']} at T {sampling['temperature']:g}"),
        ("seed", str(settings["seed"])),
        ("iterations", f"0 to {record.iterations[-1].number}"),
    ]


def alerts(record: RunRecord, cautions: list[str]) -> list[str]:
    """What stands over the claims: how many warnings there are, and every switch away from the paper's text."""
    on = [name for name, value in record.settings["compat"].items() if value]
    found = [f"{len(cautions)} warning{'s' if len(cautions) > 1 else ''}"] if cautions else []
    return [*found, *(f"not the paper's text: {name}" for name in on)]


def parts(run: Run, record: RunRecord) -> list[dict[str, Any]]:
    """Test accuracy over all questions and over those that training could not have taught; [] where all are alike."""
    flags = read_overlap(run.questions, record.questions)["flags"].get("train/test", {})
    test = record.counts["test"]
    all_ids = test[0].question_ids.tolist()
    inside = test[0].sums.get("gold_in_question")
    of_gold = {key for key, count in zip(all_ids, inside, strict=True) if count} if inside is not None else set()
    without = {
        "no-overlap": ("without overlap with train", set(all_ids) - flags.keys()),
        "no-gold": ("without the gold answer in the question", set(all_ids) - of_gold),
    }
    chosen = [(key, title, ids) for key, (title, ids) in without.items() if 0 < len(ids) < len(all_ids)]
    if not chosen:
        return []
    return [
        {
            "id": key,
            "title": title,
            "num_questions": len(ids),
            "figures": {
                n: estimate_figures(counts.restricted_to(sorted(ids)), ["t1", "t2"]) for n, counts in test.items()
            },
        }
        for key, title, ids in [("all", "all", set(all_ids)), *chosen]
    ]


def training_rows(record: RunRecord) -> dict[str, Any]:
    """Kept rows and why others were not, per iteration."""
    metrics = [iteration.metrics["splits"]["train"] for iteration in record.iterations]
    found = {reason for of_iteration in metrics for reason in of_iteration["reasons"]}
    reasons = [{"name": name, "words": words, "kept": "kept:"} for name, words in KEPT.items() if name in found]
    reasons += [{"name": name, "words": words, "kept": "not:"} for name, words in NOT_KEPT.items() if name in found]
    options = dict(record.iterations[-1].metrics["filter"])
    name = options.pop("name").replace("_", " ")
    del options["threshold"]  # stands beside the learning curves
    bounds = [f"{key} {value}" for key, value in options.items() if value not in (None, False, 0.0)]
    return {"metrics": metrics, "reasons": reasons, "filter": {"name": name, "bounds": bounds}}


def changes(record: RunRecord, pairs: Pairs) -> dict[str, Any]:
    """What corrections do: a table per split and iteration, the last one on test first, and examples."""
    tables = []
    for split in reversed(SPLITS):
        for iteration in reversed(record.iterations):
            counter = pairs.changes[split, iteration.number]
            totals = Counter()
            for (_, transition), count in counter.items():
                totals[transition] += count
            rows = [change_row(category, counter, totals) for category in CATEGORIES]
            tables.append({"split": split, "iteration": iteration.number, "rows": rows})
    examples = {
        transition: [
            example | {"category": category}
            for category in CATEGORIES
            for example in pairs.examples.get((category, transition), [])
        ]
        for transition in TRANSITIONS
    }
    return {"tables": tables, "examples": examples, "categories": CATEGORIES}


def change_row(category: str, counter: Counter[tuple[str, str]], totals: Counter[str]) -> dict[str, Any]:
    """A category's pairs by transition; heat 0 to 5 is their share of the transition's pairs, in fifths."""
    cells = []
    for transition in TRANSITIONS:
        count = counter[category, transition]
        heat = -(-5 * count // totals[transition]) if count else 0
        cells.append({"transition": transition, "count": count, "heat": heat})
    return {"category": category, "cells": cells, "total": sum(cell["count"] for cell in cells)}
