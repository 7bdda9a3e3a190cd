"""What a tracker is told of a run: rows of figures in the order in which they were made, settings, and files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.record import read_costs
from store.run import Iteration, Run
from store.shards import read_object

FIGURES = ("t1", "t2", "delta", "copy_rate", "initial_truncation_rate", "correction_truncation_rate")
COUNTS = {"initial_answer_tokens": "num_initial_answer_tokens", "correction_tokens": "num_correction_tokens"}
LOSSES = ("loss", "grad_norm", "learning_rate")


@dataclass(frozen=True)
class Row:
    """Figures that an iteration left at one point of an axis: `iteration`, or `training/step`, the optimizer steps of
    all iterations in turn. seconds: since the epoch, when the iteration was finished."""

    iteration: int
    axis: str
    step: int
    figures: dict[str, float]
    seconds: float

    @property
    def values(self) -> dict[str, float]:
        """Return the figures with the point itself among them."""
        return {self.axis: self.step} | self.figures


@dataclass(frozen=True)
class Story:
    """id: of the one run in the tracker. settings: by dotted key, without those that may differ between restarts.
    files: {name in the tracker: file}. folder: absolute, where a tracker without a server keeps what it is told."""

    id: str
    run: str
    project: str
    settings: dict[str, Any]
    rows: list[Row]
    files: dict[str, Path]
    folder: Path


def rows(run: Run, metrics: Sequence[dict[str, Any]]) -> list[Row]:
    """Return all that a run's finished iterations have to tell. Those of an iteration stay as they are, so the rows of
    a run that has gone on begin with those it had."""
    told: list[Row] = []
    before = 0  # optimizer steps of earlier iterations
    for number, of_iteration in enumerate(metrics):
        iteration = run.iteration(number)
        seconds = iteration.metrics.stat().st_mtime
        path = iteration.stats / "training.json"
        training = read_object(path) if path.exists() else {}
        for entry in training.get("log", []):
            figures = {f"training/{name}": float(entry[name]) for name in LOSSES if entry.get(name) is not None}
            told.append(Row(number, "training/step", before + entry["step"], figures, seconds))
        before += training.get("steps", 0)
        told.append(Row(number, "iteration", number, dict(figures_of(iteration, of_iteration)), seconds))
    return told


def figures_of(iteration: Iteration, metrics: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield an iteration's figures by name, rates as fractions; those of a split without pairs are left out."""
    for split, found in metrics["splits"].items():
        rates = {name: found[name] for name in FIGURES}
        rates |= {name.replace("->", "_to_"): each["rate"] for name, each in found["transitions"].items()}
        counts = {name: found[of] for name, of in COUNTS.items()}
        yield from ((f"{split}/{name}", float(value)) for name, value in (rates | counts).items() if value is not None)
    yield "train/kept_rows", float(metrics["splits"]["train"]["num_kept"])
    for stage, costs in read_costs(iteration.stats).items():
        if "seconds" in costs:
            yield f"seconds/{stage}", float(costs["seconds"])


def files(run: Run, num_iterations: int) -> dict[str, Path]:
    """Return the files that go along: metrics.json of each iteration, and the report once there is one."""
    found = [run.iteration(number).metrics for number in range(num_iterations)] + [run.dir / "report.html"]
    return {str(path.relative_to(run.dir)): path.absolute() for path in found if path.exists()}
