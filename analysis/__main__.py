"""Sum a run up on the screen.

    python -m analysis run=demo

Reads runs/demo/iter_*/trajectories/ and iter_*/metrics.json, and iter_*/rounds/ where there are any; writes nothing.
"""

from analysis import recipes, transfer
from analysis.iterations import finished_iterations, metrics_of
from analysis.stats import rounds
from analysis.summary import describe
from analysis.trajectories import question_counts
from conf.stored import load, samples_run
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
    model = "the model's record" if last.number == 0 else f"M_{last.number}, a model folder"
    checkpoint = samples_run(run).base_model if last.number == 0 else samples_run(run).iteration(last.number).checkpoint
    goes_on = "" if samples_run(run) != run else f"; make iterate N={last.number + 1} RUN={run.name} goes on"
    return [
        f"here: {run.dir}/iter_*/trajectories/*.parquet, all pairs; {checkpoint}, {model}",
        f"next: make report RUN={run.name}, curves and every trajectory as one page{goes_on}",
    ]


if __name__ == "__main__":
    stage_main(main)
