"""A finished run as one row of a table of several: the sweep's screen and the comparison's page show the same rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.iterations import finished_iterations
from analysis.record import RunRecord
from analysis.stats.counts import QuestionCounts
from analysis.stats.intervals import Estimate, estimate_figures
from analysis.stats.selection import best
from analysis.trajectories import question_counts
from conf.stored import experiment_of, load, taught_run
from store.errors import ConfigError
from store.run import Run
from store.shards import required_manifest


@dataclass(frozen=True)
class RunRow:
    """One run. test: {iteration: sums}; num_kept: {iteration: rows kept of it}, of those that were trained the
    ones of the run that did; best: its validation-best iteration; experiment: equal for runs that differ in their seed
    alone."""

    run: str
    strategy: str
    num_initial: int
    num_corrections: int
    seed: int
    experiment: str
    test: Mapping[int, QuestionCounts]
    num_kept: Mapping[int, int]
    best: int

    @property
    def last(self) -> int:
        """Return the number of the last iteration, N."""
        return max(self.test)

    def figure(self, name: str, iteration: int) -> Estimate:
        """Estimate a figure of an iteration on test."""
        return estimate_figures(self.test[iteration], [name])[name]


def row_of_record(record: RunRecord) -> RunRow:
    """Make the row of a run that has been read."""
    kept = {iteration.number: iteration.manifests["sft"].written for iteration in record.iterations}
    counts = record.counts
    return make_row(record.name, record.settings, record.experiment, counts["validation"], counts["test"], kept)


def read_row(run: Run) -> RunRow:
    """Read the row of a run, without its training trajectories; ConfigError where no iteration is scored."""
    iterations = finished_iterations(run)
    if not iterations:
        raise ConfigError(f"{run.dir} has no scored iteration: run `make iterate RUN={run.name}` first")
    validation = {it.number: question_counts(it, "validation") for it in iterations}
    test = {it.number: question_counts(it, "test") for it in iterations}
    trained = (taught_run(run).iteration(it.number) for it in iterations[:-1])  # the last one's are for a model to come
    kept = {it.number: required_manifest(it.sft, "make iterate").written for it in trained}
    settings = load(run, rescored=True).model_dump(mode="json")
    return make_row(run.name, settings, experiment_of(run), validation, test, kept)


def make_row(
    run: str,
    settings: Mapping[str, Any],
    experiment: str,
    validation: Mapping[int, QuestionCounts],
    test: Mapping[int, QuestionCounts],
    num_kept: Mapping[int, int],
) -> RunRow:
    """Put a row together from a run's settings and its sums by iteration."""
    return RunRow(
        run=run,
        strategy=settings["strategy"]["name"],
        num_initial=settings["sampling"]["num_initial"],
        num_corrections=settings["sampling"]["num_corrections"],
        seed=settings["seed"],
        experiment=experiment,
        test=test,
        num_kept=num_kept,
        best=best({number: estimate_figures(counts, ["t2"])["t2"].value for number, counts in validation.items()}),
    )
