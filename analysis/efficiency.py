"""How few tokens do it? Every N_init x N_corr of one pool: tokens, improving rows, and what runs on them gained.

    python -m analysis.efficiency run=grid.pool

The expected rows and tokens of one iteration come from the pool's training samples alone. The gains are those of
trained runs that copied their first samples from the pool (launcher.pool), or from one that differs in its seed: t2 of
their last model on test against M_0's, over seeds where there are several, adjusted together (Holm).
`<run>-star` and `<run>-m0` (make baselines) stand beside them. Reads trajectories; writes nothing. `make efficiency`
draws the gains too.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from statistics import mean
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from analysis.baselines import votes
from analysis.baselines.budget import split_metrics, training_tokens
from analysis.baselines.rows import MIN_VOTES
from analysis.iterations import finished_iterations
from analysis.run_rows import RunRow, read_row
from analysis.runs import uneven
from analysis.stats.comparisons import Comparison, adjust, compare
from analysis.stats.counts import QuestionCounts
from analysis.stats.intervals import LEVEL
from analysis.stats.seeds import compare_over_seeds
from analysis.stats.start_estimate import StartEstimate, sizes_within, start_estimates
from analysis.study import Recipe, baseline
from analysis.trajectories import sample_pool
from conf.identity import EXECUTION, SEEDS, without
from conf.stored import execution_file, experiment_of, load, read_settings
from store.errors import ConfigError, FingerprintMismatch, stage_main
from store.fingerprint import digest
from store.run import Run, is_run_name, stage_arguments

SIZES = ("sampling.num_initial", "sampling.num_corrections")
MOST = 5  # samples of each kind, in the table
SHARE = 0.9  # of the best gain
STASC, STAR, VOTES = "self-correction", "STaR", "self-consistency"
COLUMNS = "{:>6}{:>7}{:>14}   {:<22}{:>6}{:>14}   {:<22}{}"
TITLES = (
    "N_init", "N_corr", "tokens", "improving rows", "seeds", "tokens spent", "gain, points", "t2 of M_N against M_0's",
)  # fmt: skip

Size = tuple[int, int]  # N_init, N_corr


class Point(NamedTuple):
    """What tokens gained: t2 of M_N, or what another way answers, against M_0's t2; mean tokens of a seed."""

    way: str
    size: Size
    tokens: float
    gain: Comparison


class Grid(NamedTuple):
    """Runs that differ in their sizes and seeds alone. cells: {size: a run for each seed}, under one name."""

    name: str
    cells: Mapping[Size, Recipe]


def main(argv: list[str]) -> None:
    """Print the table of a pool, one for each grid of runs on it."""
    run = Run(stage_arguments(argv, "analysis.efficiency", "run")["run"])
    expected = expectations(run)
    found: list[Grid | None] = [*grids(run)]
    for grid in found or [None]:
        print("\n".join(describe(run.name, expected, grid)), flush=True)


def expectations(run: Run) -> list[StartEstimate]:
    """Return what one iteration can expect of every size of the pool, without training."""
    first = finished_iterations(run)[:1]
    if not first:
        raise ConfigError(f"{run.dir} has no scored iteration: run `make iterate N=0 RUN={run.name}` first")
    settings = load(run)
    sampling, fewest = settings.sampling, settings.prompt.num_answers
    inits, corrs = max(fewest, min(sampling.num_initial, MOST)), min(sampling.num_corrections, MOST)
    return start_estimates(sample_pool(first[0]), sizes_within(inits, corrs, fewest))


def grids(pool: Run) -> list[Grid]:
    """Return the trained runs on a pool, or on one that differs from it in its seed; the pool itself if it was
    trained."""
    found: dict[str, list[RunRow]] = defaultdict(list)
    for path in sorted(pool.root.glob(f"*/{execution_file(pool).name}")):
        if not is_run_name(path.parent.name):
            continue  # a copy that somebody has put aside
        run = Run(path.parent.name, pool.root)
        copied = run.name if run == pool else (read_settings(path).get("launcher") or {}).get("pool")
        if copied and len(finished_iterations(run)) > 1 and differ_in_seed(pool, Run(copied, pool.root)):
            settings = load(run, rescored=True).model_dump(mode="json")
            corrects = settings["strategy"]["trains_on"] not in ("initial_answers", "gold_answers")  # no baseline
            if corrects and not settings["samples_of"]:  # which trained nothing
                found[digest(without(settings, (*SEEDS, *EXECUTION, *SIZES)))].append(read_row(run))
    return [Grid(rows[0].run, by_size(rows)) for rows in found.values()]


@cache
def differ_in_seed(pool: Run, other: Run) -> bool:
    """Tell whether two pools are one, or differ in their seed alone; not where the other is gone or of another
    format."""
    if not other.config.exists():
        return False
    try:
        return experiment_of(pool) == experiment_of(other)
    except FingerprintMismatch:
        return False


def by_size(rows: Sequence[RunRow]) -> dict[Size, Recipe]:
    """Return the runs of every size, by seed; of runs with the same size and seed, the first."""
    cells: dict[Size, dict[int, RunRow]] = defaultdict(dict)
    for row in rows:
        cells[row.num_initial, row.num_corrections].setdefault(row.seed, row)
    return {
        size: Recipe("x".join(map(str, size)), [row for _, row in sorted(cells[size].items())])
        for size in sorted(cells)
    }


def points(grid: Grid) -> Iterator[Point]:
    """Yield what every size gained, and the baselines of its runs where all were made."""
    for size, cell in grid.cells.items():
        base = [row.test[0] for row in cell.rows]
        yield Point(STASC, size, mean(map(spent, cell.rows)), gain(base, cell.last, "t2"))
        if star := baseline(cell, "star", 1):
            firsts = [split_metrics(Run(f"{row.run}-star").iteration(0), "train") for row in cell.rows]
            tokens = mean(of_train["num_initial_answer_tokens"] for of_train in firsts)
            yield Point(STAR, size, tokens, gain(base, star, "t1"))
        if baseline(cell, "m0", 0):
            samples = [votes.read_samples(Run(f"{row.run}-m0").iteration(0), "initial") for row in cell.rows]
            if min(len(found) for of_run in samples for found in of_run.values()) >= MIN_VOTES:
                voted = [votes.decide(of_run, votes.majority) for of_run in samples]
                yield Point(VOTES, size, mean(map(votes.num_tokens, samples)), gain(base, voted, "t1"))


def spent(row: RunRow) -> int:
    """Return the tokens generated for the training rows of a run's last model."""
    return training_tokens(finished_iterations(Run(row.run)))


def gain(base: Sequence[QuestionCounts], later: Sequence[QuestionCounts], figure: str) -> Comparison:
    """Compare with M_0's t2, over seeds where there are several."""
    if len(base) == 1:
        return compare(base[0], later[0], "t2", figure)
    return compare_over_seeds(base, later, "t2", figure)


def describe(pool: str, expected: Sequence[StartEstimate], grid: Grid | None) -> Iterator[str]:
    """Yield a line for every size, one for every other way, and the sentence that the numbers allow."""
    runs = f", gains of {grid.name} and its like" if grid else ": no trained run has its samples"
    yield f"pool {pool}{runs} (95 % intervals)"
    yield COLUMNS.format(*TITLES)
    found = list(points(grid)) if grid else []
    p_values = adjust([point.gain.p_value for point in found])
    words = {(p.way, p.size): p.gain.words(value) for p, value in zip(found, p_values, strict=True)}
    trained = {point.size: point for point in found if point.way == STASC}
    for each in expected:
        size = (each.num_init, each.num_corr)
        cells = [*size, f"{each.generated_tokens:,.0f}", each.improving_rows.with_interval(scale=1)]
        if point := trained.get(size):
            assert grid is not None
            cells += [len(grid.cells[size].rows), *in_cells(point), words[STASC, size]]
        yield COLUMNS.format(*cells, *[""] * (len(TITLES) - len(cells))).rstrip()
    in_table = {(each.num_init, each.num_corr) for each in expected}
    for point in found:
        if point.way != STASC or point.size not in in_table:
            yield COLUMNS.format(
                *point.size, "", point.way, "", *in_cells(point), words[point.way, point.size]
            ).rstrip()
    if grid:
        yield from uneven(row for cell in grid.cells.values() for row in cell.rows)
        yield from fewest(grid, any(words[STASC, size].startswith("higher") for size in trained))


def in_cells(point: Point) -> tuple[str, str]:
    return f"{point.tokens:,.0f}", point.gain.difference.with_interval()


def fewest(grid: Grid, is_shown: bool) -> Iterator[str]:
    """Yield the fewest tokens that reach SHARE of the best gain, by the means over seeds and by every seed alone."""
    of_seeds: dict[int, dict[Size, tuple[float, float]]] = defaultdict(dict)
    for size, cell in grid.cells.items():
        for row in cell.rows:
            of_seeds[row.seed][size] = spent(row), row.figure("t2", row.last).value - row.figure("t2", 0).value
    whole = [cells for cells in of_seeds.values() if cells.keys() == grid.cells.keys()]
    if not whole:
        yield "No seed has a run of every size, so nothing is said of the fewest tokens: run the sweep again"
        return
    means = {size: tuple(np.mean([cells[size] for cells in whole], axis=0)) for size in grid.cells}
    if not is_shown:
        yield "No size is shown to gain anything, so none reaches 90 % of a gain"
    elif chosen := cheapest(means):
        best = max(means, key=lambda size: means[size][1])
        yield (
            f"Fewest tokens with {SHARE:.0%} of the best gain: {means[chosen][0]:,.0f} at {chosen[0]} x {chosen[1]}; "
            f"the best, {best[0]} x {best[1]}, takes {means[best][0]:,.0f}; {over_seeds(whole)}"
        )


def cheapest(cells: Mapping[Size, tuple[float, float]]) -> Size | None:
    """Return the size with the fewest tokens among those that reach SHARE of the best gain, None where none gains.
    cells: {size: (tokens, gain)}."""
    best = max(gained for _, gained in cells.values())
    reached = [size for size, (_, gained) in cells.items() if gained >= SHARE * best]
    return min(reached, key=lambda size: cells[size][0]) if best > 0 else None


def over_seeds(seeds: Sequence[Mapping[Size, tuple[float, float]]]) -> str:
    """Return the mean of what every seed alone says, with its interval (Student's t over seeds)."""
    chosen = [cheapest(cells) for cells in seeds]
    tokens = [cells[size][0] for cells, size in zip(seeds, chosen, strict=True) if size]
    if len(tokens) < len(seeds):
        return f"in {len(seeds) - len(tokens)} of {len(seeds)} seeds no size gains"
    if len(seeds) == 1:
        return "one seed: no interval"
    error = np.std(tokens, ddof=1) / np.sqrt(len(tokens))
    value, half_width = np.mean(tokens), stdtrit(len(tokens) - 1, (1 + LEVEL) / 2) * error
    low, high = max(0, value - half_width), value + half_width
    return f"each of {len(seeds)} seeds alone: {value:,.0f} ({low:,.0f} to {high:,.0f})"


if __name__ == "__main__":
    stage_main(main)
