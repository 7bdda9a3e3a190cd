"""Several runs in one table: each at its last iteration, and the means of those that differ in their seed alone.

    python -m analysis.runs runs=one,other
    python -m analysis.runs sweep=grid          the runs of a sweep, and what the start estimate says of its pool

Reads their trajectories, and runs/_sweeps/grid/runs/*.json; writes nothing.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.comparisons import Comparison, adjust, compare
from analysis.counts import QuestionCounts
from analysis.report.record import finished_iterations
from analysis.seeds import compare_over_seeds, estimate_over_seeds
from analysis.selection import best
from analysis.start import describe as describe_start
from analysis.start import interval
from analysis.statistics import Estimate, estimate_figures
from analysis.trajectories import question_counts
from conf.stored import read_settings
from store.errors import ConfigError, stage_main
from store.fingerprint import digest
from store.run import RUNS, Run, stage_arguments
from store.shards import read_bytes, required_manifest

OWN = ("run", "seed", "overrides", "digest")  # of a configuration: what two seeds of one run differ in
HEADER = "{:<{width}}{:>6}{:>8}{:>6}   {:<22}{:<22}{}"


@dataclass(frozen=True)
class Row:
    """A finished run: its training rows over all iterations, M_0 and M_N on test, and its validation-best iteration.
    same_but_seed: equal for runs that differ in their seed alone."""

    run: str
    num_kept: int
    base: QuestionCounts
    last: QuestionCounts
    best: int
    same_but_seed: str

    @property
    def figures(self) -> dict[str, Estimate]:
        return estimate_figures(self.last, ("t1", "t2"))


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
    """What sweep.py wrote of the runs that ended well."""
    paths = sorted((RUNS / "_sweeps" / sweep / "runs").glob("*.json"))
    results = [result for result in map(json.loads, map(read_bytes, paths)) if result["exit_code"] == 0]
    if not results:
        raise ConfigError(f"sweep={sweep} has no finished run: start it with sweep.py name={sweep}")
    return results


def read_row(run: Run) -> Row:
    iterations = finished_iterations(run)
    if not iterations:
        raise ConfigError(f"{run.dir} has no scored iteration: run `make iterate RUN={run.name}` first")
    test = [question_counts(iterations[place], "test") for place in (0, -1)]
    held_out = {iteration.number: question_counts(iteration, "validation") for iteration in iterations}
    validation = {number: estimate_figures(counts, ["t2"])["t2"].value for number, counts in held_out.items()}
    kept = sum(required_manifest(iteration.sft, "make iterate").written for iteration in iterations[:-1])
    settings = {key: value for key, value in read_settings(run.config).items() if key not in OWN}
    return Row(run.name, kept, *test, best(validation), digest(settings))


def table(rows: Sequence[Row]) -> list[str]:
    """One line per run, then one per group of seeds; p-values are adjusted (Holm) for the number of lines."""
    width = max(len(row.run) for row in rows) + 2
    titles = ("run", "rows", "copies", "best", "t1 (95 % interval)", "t2 (95 % interval)")
    lines = [HEADER.format(*titles, "t2 of M_N against M_0; against its own t1; t1 against M_0's", width=width)]
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.same_but_seed].append(row)
    against_base = [compare(row.base, row.last) for row in rows]
    within = [compare(row.last, row.last, "t1", "t2") for row in rows]
    initial = [compare(row.base, row.last, "t1", "t1") for row in rows]
    for row, words in zip(rows, adjusted_words(against_base, within, initial), strict=True):
        copies = 100 * estimate_figures(row.last, ["copy_rate"])["copy_rate"].value
        t1, t2 = (interval(row.figures[name], 100) for name in ("t1", "t2"))
        at_best = f"M_{row.best}"
        lines.append(HEADER.format(row.run, row.num_kept, f"{copies:.0f}%", at_best, t1, t2, words, width=width))
    seeds = {members[0].run: members for members in groups.values() if len(members) > 1}
    if seeds:
        lines.append(f"\nmeans over seeds, intervals over questions and seeds{' (three seeds or more are better)'}")
        bases, lasts = [[m.base for m in s] for s in seeds.values()], [[m.last for m in s] for s in seeds.values()]
        over_base = [compare_over_seeds(base, last) for base, last in zip(bases, lasts, strict=True)]
        over_t1 = [compare_over_seeds(last, last, "t1", "t2") for last in lasts]
        over_initial = [compare_over_seeds(base, last, "t1", "t1") for base, last in zip(bases, lasts, strict=True)]
        worded = adjusted_words(over_base, over_t1, over_initial)
        for (name, members), last, words in zip(seeds.items(), lasts, worded, strict=True):
            t1, t2 = (interval(estimate_over_seeds(last, figure), 100) for figure in ("t1", "t2"))
            kept = sum(member.num_kept for member in members)
            lines.append(HEADER.format(f"{name} x {len(members)}", kept, "", "", t1, t2, words, width=width))
    return lines


def adjusted_words(*columns: Sequence[Comparison]) -> list[str]:
    """The words of each row's comparisons, adjusted within their column."""
    worded = []
    for comparisons in columns:
        p_values = adjust([comparison.p_value for comparison in comparisons])
        worded.append([comparison.words(p) for comparison, p in zip(comparisons, p_values, strict=True)])
    return ["; ".join(words) for words in zip(*worded, strict=True)]


if __name__ == "__main__":
    stage_main(main)
