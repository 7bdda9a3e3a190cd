"""Several runs in one table: each at its last iteration, and the means of those that differ in their seed alone.

    python -m analysis.runs runs=one,other
    python -m analysis.runs sweep=grid          the runs of a sweep, and what the start estimate says of its pool

Reads their trajectories, and runs/_sweeps/grid/runs/*.json; writes nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from analysis.run_rows import RunRow, read_row
from analysis.start import describe as describe_start
from analysis.stats.comparisons import Comparison, adjust, compare
from analysis.stats.seeds import compare_over_seeds, estimate_over_seeds
from store.errors import ConfigError, stage_main
from store.run import RUNS, Run, stage_arguments
from store.shards import read_object

HEADER = "{:<{width}}{:>6}{:>8}{:>6}   {:<22}{:<22}{}"


def main(argv: list[str]) -> None:
    given = stage_arguments(["runs=", "sweep=", *argv], "analysis.runs", "runs", "sweep")
    if bool(given["runs"]) == bool(given["sweep"]):
        raise ConfigError("exactly one of runs=<name>,<name>,... and sweep=<name> is needed")
    results = finished(given["sweep"]) if given["sweep"] else []
    names = [result["run"] for result in results] or given["runs"].split(",")
    print("\n".join(table([read_row(Run(name)) for name in names])))
    for pool in sorted({result["pool"] for result in results}):
        print(f"\n{describe_start(Run(pool))}")
    print(f"\nThe same as a page: python -m analysis.report {' '.join(argv)}", flush=True)


def finished(sweep: str) -> list[dict]:
    """Return what sweep.py wrote of the runs that ended well."""
    paths = sorted((RUNS / "_sweeps" / sweep / "runs").glob("*.json"))
    results = [result for result in map(read_object, paths) if result["exit_code"] == 0]
    if not results:
        raise ConfigError(f"sweep={sweep} has no finished run: start it with sweep.py name={sweep}")
    return results


def table(rows: Sequence[RunRow]) -> list[str]:
    """Return one line per run, then one per group of seeds; p-values are adjusted (Holm) for the number of lines."""
    width = max(len(row.run) for row in rows) + 2
    titles = ("run", "rows", "copies", "best", "t1 (95 % interval)", "t2 (95 % interval)")
    lines = [HEADER.format(*titles, "t2 of M_N against M_0; against its own t1; t1 against M_0's", width=width)]
    bases, lasts = [row.test[0] for row in rows], [row.test[row.last] for row in rows]
    against_base = list(map(compare, bases, lasts))
    within = [compare(last, last, "t1", "t2") for last in lasts]
    initial = [compare(base, last, "t1", "t1") for base, last in zip(bases, lasts, strict=True)]
    for row, words in zip(rows, adjusted_words(against_base, within, initial), strict=True):
        copies = f"{100 * row.figure('copy_rate', row.last).value:.0f}%"
        t1, t2 = (row.figure(name, row.last).with_interval() for name in ("t1", "t2"))
        lines.append(HEADER.format(row.run, num_trained(row), copies, f"M_{row.best}", t1, t2, words, width=width))
    groups = [group for group in by_experiment(rows) if len(group) > 1]
    return lines + (seed_lines(groups, width) if groups else [])


def seed_lines(groups: Sequence[Sequence[RunRow]], width: int) -> list[str]:
    """Return the means over seeds, one line per group of runs."""
    lines = ["\nmeans over seeds, intervals over questions and seeds (three seeds or more are better)"]
    bases = [[row.test[0] for row in group] for group in groups]
    lasts = [[row.test[row.last] for row in group] for group in groups]
    against_base = list(map(compare_over_seeds, bases, lasts))
    within = [compare_over_seeds(last, last, "t1", "t2") for last in lasts]
    initial = [compare_over_seeds(base, last, "t1", "t1") for base, last in zip(bases, lasts, strict=True)]
    worded = adjusted_words(against_base, within, initial)
    for group, last, words in zip(groups, lasts, worded, strict=True):
        t1, t2 = (estimate_over_seeds(last, figure).with_interval() for figure in ("t1", "t2"))
        name, kept = f"{group[0].run} x {len(group)}", sum(map(num_trained, group))
        lines.append(HEADER.format(name, kept, "", "", t1, t2, words, width=width))
    return lines + [line for group in groups for line in uneven(group)]


def num_trained(row: RunRow) -> int:
    """Count the rows that M_1 .. M_N were trained on; those that iteration N kept are for a model yet to come."""
    return sum(kept for number, kept in row.num_kept.items() if number < row.last)


def by_experiment(rows: Sequence[RunRow]) -> list[list[RunRow]]:
    """Group runs that differ in their seed alone, in the order of their first; a run that was made twice counts
    once."""
    groups: dict[str, dict[int, RunRow]] = defaultdict(dict)
    for row in rows:
        groups[row.experiment].setdefault(row.seed, row)
    return [list(group.values()) for group in groups.values()]


def uneven(rows: Iterable[RunRow]) -> list[str]:
    """Return a line where the last models of runs are not of one iteration, as in a sweep that has not got as far as it
    was asked to, or with iterations=auto; [] where they are."""
    runs: dict[int, list[str]] = defaultdict(list)
    for row in rows:
        runs[row.last].append(row.run)
    named = "; ".join(f"M_{last} of {', '.join(runs[last])}" for last in sorted(runs))
    return [f"the last models are of different iterations: {named}"] if len(runs) > 1 else []


def adjusted_words(*columns: Sequence[Comparison]) -> list[str]:
    """Return the words of each row's comparisons, adjusted within their column."""
    worded = []
    for comparisons in columns:
        p_values = adjust([comparison.p_value for comparison in comparisons])
        worded.append([comparison.words(p) for comparison, p in zip(comparisons, p_values, strict=True)])
    return ["; ".join(words) for words in zip(*worded, strict=True)]


if __name__ == "__main__":
    stage_main(main)
