"""Write the report of a run, or of several runs side by side.

    python -m analysis.report run=demo              runs/demo/report.html, and runs/demo/plots/*.png and *.svg
    python -m analysis.report runs=one,other        runs/_comparisons/one+other.html, and its plot beside it
    python -m analysis.report 'runs=grid-*'         all runs with such a name; those not finished are named
    python -m analysis.report sweep=grid            the same

Every report is one file that opens from disk and asks nothing of a network.
"""

from fnmatch import fnmatchcase

from analysis.iterations import finished_iterations
from analysis.record import read_record
from analysis.report.comparison_report import comparison_report
from analysis.report.run_report import run_report
from store.errors import ConfigError, stage_main
from store.publish import write_atomic
from store.run import RUNS, Run, is_run_name, stage_arguments

KEYS = ("run", "runs", "sweep")


def main(argv: list[str]) -> None:
    values = stage_arguments([*(f"{key}=" for key in KEYS), *argv], "analysis.report", *KEYS)
    given = {key: value for key, value in values.items() if value}
    if len(given) != 1:
        raise ConfigError("exactly one of run=<name>, runs=<name>,<name>,... and sweep=<name> is needed")
    if "run" in given:
        report_run(Run(given["run"]))
    else:
        report_runs(given.get("runs") or f"{given['sweep']}-*")


def report_run(run: Run) -> None:
    record = read_record(run)
    content, plots = run_report(run, record)
    for name, plot in plots.items():
        write_atomic(run.dir / "plots" / name, plot, replace=True)
    write_atomic(run.dir / "report.html", content, replace=True)
    unfinished = f"; unfinished: {', '.join(record.unfinished)} not in it" if record.unfinished else ""
    print(f"{run.dir / 'report.html'}: {len(content) / 1e6:.1f} MB; open it in a browser{unfinished}", flush=True)


def report_runs(patterns: str) -> None:
    found = [run for pattern in patterns.split(",") for run in matching(pattern)]
    runs = [run for run in found if finished_iterations(run)]
    unfinished = [run.name for run in found if run not in runs]
    if len(runs) < 2:
        raise ConfigError(f"runs={patterns}: {len(runs)} of {len(found)} runs are finished, two or more were expected")
    name = patterns.removesuffix("-*") if "*" in patterns else "+".join(run.name for run in runs)[:100]
    content, plots = comparison_report(name, runs, [read_record(run) for run in runs], unfinished)
    path = RUNS / "_comparisons" / f"{name}.html"
    for plot, image in plots.items():
        write_atomic(path.parent / f"{name}-{plot}", image, replace=True)
    write_atomic(path, content, replace=True)
    print(f"{path}: {len(runs)} runs; open it in a browser", flush=True)


def matching(pattern: str) -> list[Run]:
    """Return the run of that name, or all whose name fits a pattern with `*`."""
    if "*" not in pattern:
        return [Run(pattern)]
    names = sorted(entry.name for entry in RUNS.glob("*") if fnmatchcase(entry.name, pattern))
    return [Run(name) for name in filter(is_run_name, names)]


if __name__ == "__main__":
    stage_main(main)
