"""What each section of a run's report shows, as plain values for its template in templates/."""

from collections import Counter
from typing import Any

from analysis import recipes
from analysis.record import RunRecord
from analysis.report.pairs import Pairs
from analysis.stats.intervals import estimate_figures
from analysis.stats.taxonomy import CATEGORIES
from store.schemas import SPLITS, TRANSITIONS

RATES = (
    "copy_rate",
    "initial_truncation_rate",
    "correction_truncation_rate",
    "initial_format_failure_rate",
    "correction_format_failure_rate",
)
KEPT = {
    "improving": "incorrect, then correct",
    "kept_correct": "correct twice",
    "unfiltered": "the filter is off",
    "random": "drawn at random",
    "initial_correct": "initial answer correct, which is trained",
    "gold": "the question's gold answer is trained",
}
NOT_KEPT = {
    "degraded": "correct, then incorrect",
    "incorrect_twice": "incorrect twice",
    "not_improving": "correct twice, or no better",
    "not_equal": "better, where only correct twice counts",
    "truncated": "correction truncated",
    "empty": "correction empty",
    "initial_incorrect": "initial answer incorrect",
    "repeated": "trained through an earlier pair",
    "duplicate": "duplicate of a kept row",
    "over_question_cap": "over the cap per question",
    "balance": "over the balance of correct twice to improving",
    "copy_cap": "over the share of copies",
    "wrong_verdict": "no verdict, contradicted, or a correct answer replaced",
    "not_drawn": "not drawn",
}
WITHOUT = {
    "overlap": "without overlap with train",
    "shared_answer": "without a gold answer of train",
    "gold_in_question": "without the gold answer in the question",
}


def summary(record: RunRecord) -> list[tuple[str, str]]:
    """Return the chips under a run's name."""
    settings, sampling = record.settings, record.settings["sampling"]
    strategy = settings["strategy"]
    words = f"{strategy['initialization']} · {strategy['filter']} · {strategy['fine_tuning']}".replace("_", " ")
    samples_of = [("samples of", settings["samples_of"])] if settings["samples_of"] else []
    return [
        *samples_of,
        ("model", settings["model"]["path"] or settings["model"]["name"]),
        ("questions", settings["data"]["source"]),
        ("strategy", f"{strategy['name']} ({words})"),
        ("samples", f"{sampling['num_initial']} × {sampling['num_corrections']} at T {sampling['temperature']:g}"),
        ("seed", str(settings["seed"])),
        ("iterations", f"0 to {record.iterations[-1].number}"),
    ]


def alerts(record: RunRecord, cautions: list[str]) -> list[str]:
    """Return what stands over the claims: what is not finished, how many warnings there are, and every switch away from
    the paper's text."""
    on = [name for name, value in record.settings["compat"].items() if value]
    found = [f"{len(cautions)} warning{'s' if len(cautions) > 1 else ''}"] if cautions else []
    if record.unfinished:
        found = [f"unfinished: without {', '.join(record.unfinished)}", *found]
    return [*found, *(f"not the paper's text: {name}" for name in on)]


def parts(record: RunRecord) -> list[dict[str, Any]]:
    """Test accuracy over all questions and over those that training could not have taught; [] where all are alike."""
    test = record.counts["test"]
    chosen = {}
    for flag, title in WITHOUT.items():
        rest = {n: counts.without(flag) for n, counts in test.items()}
        whole = {n: counts for n, counts in rest.items() if counts is not None}
        if len(whole) == len(test):
            chosen[title] = whole
    if not chosen:
        return []
    return [
        {
            "id": title.replace(" ", "-"),
            "title": title,
            "num_questions": len(by_iteration[0].question_ids),
            "figures": {n: estimate_figures(counts, ["t1", "t2"]) for n, counts in by_iteration.items()},
        }
        for title, by_iteration in ({"all": test} | chosen).items()
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
    recipe = recipes.describe(record.settings, {it.number: it.metrics for it in record.iterations})
    return {
        "metrics": metrics, "reasons": reasons, "filter": {"name": name, "bounds": bounds}, "recipe": list(recipe),
    }  # fmt: skip


def changes(record: RunRecord, pairs: Pairs) -> dict[str, Any]:
    """Return what corrections do: a table per split and iteration, the last one on test first, and examples."""
    tables = []
    for split in reversed(SPLITS):
        for iteration in reversed(record.iterations):
            counter = pairs.changes[split, iteration.number]
            totals: Counter[str] = Counter()
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
    """Return a category's pairs by transition; heat 0 to 5 is their share of the transition's pairs, in fifths."""
    cells = []
    for transition in TRANSITIONS:
        count = counter[category, transition]
        heat = -(-5 * count // totals[transition]) if count else 0
        cells.append({"transition": transition, "count": count, "heat": heat})
    return {"category": category, "cells": cells, "total": sum(cell["count"] for cell in cells)}
