"""Everything of a run but its texts: settings, metrics, sums per question, manifests, costs, and quarantined rows."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.iterations import finished_iterations, read_metrics
from analysis.stats import rounds
from analysis.stats.counts import QuestionCounts
from analysis.stats.intervals import Estimate
from analysis.trajectories import question_counts
from conf.stored import experiment_of, load, read_settings, samples_run
from store.checkpoints import Checkpoint, locate
from store.errors import ConfigError
from store.run import Iteration, Run
from store.schemas import SPLITS
from store.shards import QUARANTINED, Manifest, read_bytes, read_object, required_manifest

SAMPLED = ("initial_answers", "corrections")  # with samples_of, of the other run
STAGES = (*SAMPLED, "trajectories", "sft")


@dataclass(frozen=True)
class IterationRecord:
    """What M_n left. counts: by split. manifests: by stage folder. costs: {stage: sums over its processes}. rounds: by
    held-out split, accuracy of initial answers and of every round of corrections; {} where there is one round."""

    number: int
    metrics: dict[str, Any]
    counts: dict[str, QuestionCounts]
    manifests: dict[str, Manifest]
    checkpoint: Checkpoint
    costs: dict[str, dict[str, Any]]
    rounds: dict[str, list[Estimate]]


@dataclass(frozen=True)
class RunRecord:
    """A run with its finished iterations. experiment: equal for runs that differ in their seed alone. unfinished: names
    of those that were begun. quarantined: {folder: rows}, folders without such rows left out."""

    name: str
    settings: dict[str, Any]
    experiment: str
    overrides: list[str]
    questions: Manifest
    iterations: list[IterationRecord]
    unfinished: list[str]
    quarantined: dict[str, list[dict[str, Any]]]

    @property
    def counts(self) -> dict[str, dict[int, QuestionCounts]]:
        """{split: {iteration: sums}}, the form that analysis.summary takes."""
        return {split: {it.number: it.counts[split] for it in self.iterations} for split in SPLITS}


def read_record(run: Run) -> RunRecord:
    """Return the record of a run; ConfigError where no iteration is finished, CorruptArtifact for what cannot be
    trusted."""
    settings, source = load(run, rescored=True).model_dump(mode="json"), samples_run(run)
    finished = finished_iterations(run)
    if not finished:
        raise ConfigError(f"{run.dir} has no scored iteration: run `make iterate RUN={run.name}` first")
    return RunRecord(
        name=run.name,
        settings=settings,
        experiment=experiment_of(run),
        overrides=read_settings(run.config)["overrides"],
        questions=required_manifest(source.questions, f"python -m data run={source.name}"),
        iterations=[read_iteration(source, iteration) for iteration in finished],
        unfinished=[it.dir.name for it in run.iterations() if it.number > finished[-1].number],
        quarantined=dict(read_quarantined(source, finished)),
    )


def stage_folders(source: Run, iteration: Iteration) -> dict[str, Path]:
    """Where the tables of an iteration lie; `source` is the run that drew its samples."""
    samples = source.iteration(iteration.number)
    return {stage: (samples if stage in SAMPLED else iteration).dir / stage for stage in STAGES}


def read_iteration(source: Run, iteration: Iteration) -> IterationRecord:
    folders = stage_folders(source, iteration)
    made_by = f"make iterate RUN={source.name}"
    manifests = {stage: required_manifest(folder, made_by) for stage, folder in folders.items()}
    counts = {split: question_counts(iteration, split) for split in SPLITS}
    curves = {split: rounds.curve(iteration, split, counts[split]) for split in SPLITS[1:]}
    return IterationRecord(
        number=iteration.number,
        metrics=read_metrics(iteration, manifests),
        counts=counts,
        manifests=manifests,
        checkpoint=locate(source, iteration.number)[1],
        costs=read_costs(iteration.stats),
        rounds={split: curve for split, curve in curves.items() if curve},
    )


def read_costs(folder: Path) -> dict[str, dict[str, Any]]:
    """{stage: costs}. The counts of a stage's processes add up, its peak of memory is the highest of them."""
    costs: dict[str, dict[str, Any]] = defaultdict(dict)
    for path in sorted(folder.glob("*.json")):
        stage = costs[path.stem.partition("-")[0]]
        for name, value in read_object(path).items():
            if not isinstance(value, int | float):
                stage[name] = value
            elif name == "peak_memory_bytes":
                stage[name] = max(value, stage.get(name, 0))
            else:
                stage[name] = value + stage.get(name, 0)
    return dict(costs)


def read_quarantined(source: Run, iterations: list[Iteration]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(folder, rows) wherever a stage has set rows aside."""
    folders = [folder for iteration in iterations for folder in stage_folders(source, iteration).values()]
    for folder in (source.questions, *folders):
        path = folder / QUARANTINED
        if path.exists() and (lines := read_bytes(path).decode().splitlines()):
            name = "questions" if folder == source.questions else f"{folder.parent.name}/{folder.name}"
            yield name, [json.loads(line) for line in lines]
