"""What recipes beside the paper's come to (docs/recipes.md): verdicts, rows of every kind, tokens per question.

The lines are the same on the screen, in the report and on the cards; a run of the paper's algorithm has none.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from store.run import Run
from store.shards import read_object


def describe(settings: Mapping[str, Any], metrics: Mapping[int, Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for every checkpoint's verdicts on test, for every D_n with rows of several kinds, and for what an
    answer to a test question takes. settings: of the run; metrics: {iteration: metrics.json}."""
    splits = {number: of_iteration["splits"] for number, of_iteration in metrics.items()}
    for number, of_splits in splits.items():
        if verdicts := of_splits["test"].get("verdicts"):
            yield f"M_{number} on test: {in_words(verdicts)}"
    for number, of_splits in splits.items():
        if trained := of_splits["train"].get("trained_rows"):
            yield f"D_{number}: {', '.join(f'{rows:,} {reason}' for reason, rows in trained.items())}"
    prompt = settings["prompt"]
    if prompt.get("verdict") or prompt.get("num_answers", 1) > 1:
        for number, of_splits in splits.items():
            if of_splits["test"]["num_corrections"]:  # not where no prompt of one had room
                tokens = tokens_per_question(of_splits["test"], prompt.get("num_answers", 1))
                yield f"M_{number} on test: {tokens:.1f} generated tokens for an answer and its correction"


def replayed(run: Run, settings: Mapping[str, Any], last: int) -> Iterator[str]:
    """Yield what every checkpoint up to M_last was trained on where training.rows=all."""
    if settings["training"].get("rows") != "all":
        return
    for number in range(1, last + 1):
        path = run.iteration(number).stats / "training.json"
        if path.exists():
            costs = read_object(path)
            kept = ", ".join(f"{rows:,} of {name}" for name, rows in costs["rows_kept"].items())
            yield f"M_{number}: {costs['rows']:,} different rows ({kept})"


def in_words(verdicts: Mapping[str, Any]) -> str:
    """Return the counts of verdicts, and what they are worth."""
    names = ("keep", "replace", "missing", "contradicted")
    counted = ", ".join(f"{name} {verdicts[name]:,}" for name in names)
    precision, recall = (
        "-" if verdicts[name] is None else f"{100 * verdicts[name]:.1f} %" for name in ("precision", "recall")
    )
    return (
        f"verdicts {counted}; {precision} of what it replaces is incorrect, {recall} of what is incorrect it replaces"
    )


def tokens_per_question(of_split: Mapping[str, Any], num_answers: int) -> float:
    """Return the tokens of one correction and of the initial answers that it reads, the mean over a split."""
    answer = of_split["num_initial_answer_tokens"] / of_split["num_initial_answers"]
    return float(num_answers * answer + of_split["num_correction_tokens"] / of_split["num_corrections"])
