"""How far do rewards agree? Runs that score the same samples (make rescore), pair by pair.

    python -m analysis.rescored runs=demo,demo-f1,demo-exact

For each run the training rows that it kept, and how many of its corrections are correct; for each two of them which
rows both kept (Jaccard: of those that either kept), and how many corrections both judge alike, correct or incorrect,
with Cohen's kappa. Intervals are 95 %, over questions. Reads the trajectories of train; writes nothing.
"""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.inspection.selection import read_tables
from analysis.iterations import finished_iterations
from analysis.stats.agreement import Agreement
from analysis.stats.intervals import estimate_ratios
from conf.stored import load, samples_run
from store.errors import BadInput, ConfigError, stage_main
from store.run import Run, stage_arguments
from store.shards import required_manifest

KEYS = ["iteration", "question_id", "init_index", "corr_index"]
SIDE = ["kept", "right"]
OF_RUN = "{:<{width}}{:<20}{:>10}{:>12}{:>9}   {}"
OF_TWO = "{:<{width}}{:>9}{:>10}   {:<24}{:<24}{:>6}"


def main(argv: list[str]) -> None:
    """Print a line for each run, then one for each two."""
    names = stage_arguments(argv, "analysis.rescored", "runs")["runs"].split(",")
    if len(set(names)) < max(2, len(names)):
        raise ConfigError(f"runs={','.join(names)}: two or more different runs were expected")
    runs = [Run(name) for name in names]
    refuse_other_samples(runs)
    print("\n".join(table({run.name: (load(run, rescored=True).reward.name, read_pairs(run)) for run in runs})))


def refuse_other_samples(runs: list[Run]) -> None:
    """Raise BadInput unless all score the same samples, in the same pairs."""
    scored = {run.name: [parents_of(run, n) for n in range(len(finished_iterations(run)))] for run in runs}
    (first, *others), source = scored.items(), samples_run(runs[0]).name
    if not first[1]:
        raise ConfigError(f"runs/{first[0]} has no scored iteration: run `make iterate RUN={first[0]}` first")
    for name, parents in others:
        if parents != first[1]:
            raise BadInput(
                f"{name} does not score the samples of {first[0]}, of all its iterations: "
                f'`make rescore FROM={source} RUN=<new name> ARGS="reward=..."` makes a run that does'
            )
    crossed = [run.name for run in runs if load(run, rescored=True).compat.cross_pairing]
    if crossed and len(crossed) < len(runs):
        raise BadInput(
            f"{crossed[0]} pairs every correction with every initial answer (compat.cross_pairing), others of these "
            f"with its own alone: `make rescore FROM={source} RUN=<new name> "
            'ARGS="compat.cross_pairing=..."` makes a run with the same pairs'
        )


def parents_of(run: Run, number: int) -> dict[str, str]:
    """Return the digests of the questions and samples that an iteration's trajectories were made from."""
    parents = required_manifest(run.iteration(number).trajectories, "make rescore").parents
    return {name: digest for name, digest in parents.items() if name != "judgements"}  # which are part of the reward


def read_pairs(run: Run) -> pa.Table:
    """Return KEYS of every training pair, whether it was kept, and whether its correction is correct."""
    tables = []
    for iteration in finished_iterations(run):
        for shard in read_tables(iteration, "train"):
            right = pc.ends_with(shard["transition"], "c")
            number = pa.repeat(pa.scalar(iteration.number, pa.int32()), shard.num_rows)
            columns = [number, *(shard[name] for name in (*KEYS[1:], "kept")), right]
            tables.append(pa.table(columns, names=[*KEYS, *SIDE]))
    return pa.concat_tables(tables)


def table(runs: Mapping[str, tuple[str, pa.Table]]) -> list[str]:
    """Return the lines of some runs. runs: {name: (reward, pairs)}."""
    width = max(len(f"{one}, {other}") for one, other in combinations(runs, 2)) + 2
    lines = [OF_RUN.format("run", "reward", "pairs", "correct, %", "kept", "", width=width).rstrip()]
    for name, (reward, pairs) in runs.items():
        right = f"{100 * np.mean(pairs['right']):.1f}" if len(pairs) else "-"
        line = OF_RUN.format(name, reward, f"{len(pairs):,}", right, f"{np.sum(pairs['kept']):,}", "", width=width)
        lines.append(line.rstrip())
    lines.append("")
    titles = ("two runs", "both kept", "either", "Jaccard, % (95 %)", "judged alike, % (95 %)", "kappa")
    lines.append(OF_TWO.format(*titles, width=width))
    return lines + [
        compared(f"{one}, {other}", runs[one][1], runs[other][1], width) for one, other in combinations(runs, 2)
    ]


def compared(name: str, one: pa.Table, other: pa.Table, width: int) -> str:
    """Return the line of two runs, over the pairs that both could score."""
    pairs = one.join(other, KEYS, join_type="inner", right_suffix="_other")
    if not len(pairs):
        return OF_TWO.format(name, 0, 0, "-", "-", "-", width=width)
    question = pairs["question_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    kept, right, kept_other, right_other = (
        pairs[name].to_numpy() for name in (*SIDE, *(f"{name}_other" for name in SIDE))
    )
    counted = [kept & kept_other, right == right_other, kept | kept_other, np.ones(len(question), dtype=bool)]
    sums = np.stack([np.bincount(question, weights=each) for each in counted], axis=1)
    jaccard, alike = estimate_ratios(sums[:, :2], sums[:, 2:])
    both, _, either, _ = sums.sum(axis=0)
    kappa = agreement(right, right_other).kappa
    cells = jaccard.with_interval(), alike.with_interval(), "-" if kappa is None else f"{kappa:.2f}"
    return OF_TWO.format(name, f"{both:,.0f}", f"{either:,.0f}", *cells, width=width)


def agreement(one: np.ndarray, other: np.ndarray) -> Agreement:
    """Return on how many corrections two rewards agree; both of shape (n,), bool."""
    return Agreement(*(int(np.sum(each)) for each in (one & other, one & ~other, ~one & other, ~one & ~other)))


if __name__ == "__main__":
    stage_main(main)
