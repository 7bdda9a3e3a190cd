"""Sum a run up on the screen.

    python -m analysis run=demo

Reads runs/demo/iter_*/trajectories/ and iter_*/metrics.json, and iter_*/rounds/ where there are any; writes nothing.
"""

import os

from analysis import recipes, transfer
from analysis.iterations import finished_iterations, metrics_of
from analysis.stats import rounds
from analysis.summary import describe
from analysis.trajectories import question_counts
from conf.stored import load, samples_run, taught_run
from store.checkpoints import RECORD, read_record
from store.errors import ConfigError, stage_main
from store.run import Iteration, Run, stage_arguments
from store.schemas import SPLITS


def main(argv: list[str]) -> None:
    run = Run(stage_arguments(argv, "analysis", "run")["run"])
    iterations = finished_iterations(run)
    if not iterations:
        raise ConfigError(f"{run.dir} has no scored iteration: run `make iterate RUN={run.name}` first")
    counts = {split: {it.number: question_counts(it, split) for it in iterations} for split in SPLITS}
    print(describe(run.name, counts))
    settings = load(run, rescored=True).model_dump(mode="json")
    metrics = {it.number: metrics_of(it) for it in iterations}
    for line in (*recipes.describe(settings, metrics), *recipes.replayed(run, settings, iterations[-1].number)):
        print(line)
    for iteration in iterations:
        if estimates := rounds.curve(iteration, "test", counts["test"][iteration.number]):
            print(f"M_{iteration.number} on test, corrected again and again: {rounds.describe(estimates)}")
    for moved in transfer.transfers(run):
        print("\n".join(transfer.describe(moved)))
    print("\n".join(where(run, iterations[-1])))


def where(run: Run, last: Iteration) -> list[str]:
    """Return where the results are, and the commands that come next."""
    source, n = samples_run(run), last.number
    model = f"{source.base_model}, the model's record" if n == 0 else f"{weights(source, n)}, M_{n}, a model folder"
    trains = taught_run(run) == run  # neither another's samples nor another's models
    goes_on = f"; make iterate N={n + 1} RUN={run.name} goes on" if trains else ""
    return [
        f"here: {run.dir}/iter_*/trajectories/*.parquet, all pairs; {model}",
        f"next: make report RUN={run.name}, curves and every trajectory as one page{goes_on}",
    ]


def weights(run: Run, iteration: int) -> str:
    """Return the folder with M_n's weights: another where n >= 1 was not trained, or trained by another run."""
    folder = run.iteration(iteration).checkpoint
    record = read_record(folder / RECORD)
    return os.path.normpath(record.weights(folder) if record else folder)


if __name__ == "__main__":
    stage_main(main)
