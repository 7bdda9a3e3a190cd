"""Baselines at an equal number of generated tokens.

    python -m analysis.baselines run=demo settings=star     the overrides with which demo-star differs from demo
    python -m analysis.baselines run=demo                   the table, and runs/demo/baselines.json for the report

Reads the metrics and trajectories of runs/demo, and of runs/demo-m0, demo-star and demo-gold where `make baselines` has
made them.
"""

from analysis.baselines.budget import settings_of
from analysis.baselines.rows import rows
from analysis.baselines.table import BASELINES, Baseline, to_json
from conf.stored import load
from store.errors import ConfigError, stage_main
from store.publish import write_atomic
from store.run import Run, stage_arguments

MADE = ("m0", "star", "gold")
COLUMNS = "{:<63}{:<22}{:>12}{:>12}{:>8}   {}"


def main(argv: list[str]) -> None:
    arguments = stage_arguments(["settings=", *argv], "analysis.baselines", "run", "settings")
    run, asked = Run(arguments["run"]), arguments["settings"]
    if of := load(run).models_of:  # as a run that scores another's samples it has nothing to train a baseline on
        raise ConfigError(f"{run.dir} has the models of {of}: `make baselines RUN={of}` compares those")
    if asked:
        if asked not in MADE:
            raise ConfigError(f"settings={asked!r} was given, one of {', '.join(MADE)} was expected")
        print(*settings_of(run, asked))
        return
    table = rows(run)
    write_atomic(run.dir / BASELINES, to_json(table), replace=True)
    print(describe(run.name, table), flush=True)


def describe(run: str, table: list[Baseline]) -> str:
    """Return the table as text."""
    titles = ("correct answers, %", "tokens per", "training", "equal", "")
    more = ("(95 % interval)", "question", "tokens", "budget", "against STaSC's last model")
    lines = [COLUMNS.format(f"run {run}, test", *titles).rstrip(), COLUMNS.format("", *more)]
    return "\n".join([*lines, *map(line, table)])


def line(row: Baseline) -> str:
    if row.accuracy is None:
        return COLUMNS.format(row.name, "-", "-", "-", "-", row.words)
    return COLUMNS.format(
        row.name,
        row.accuracy.with_interval(),
        f"{row.inference_tokens:,.1f}",
        f"{row.training_tokens:,}",
        "" if row.budget is None else f"{row.budget:.2f}",
        row.words,
    )


if __name__ == "__main__":
    stage_main(main)
