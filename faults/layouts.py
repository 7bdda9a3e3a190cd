"""How the work is cut does not matter: shard sizes, numbers of workers and batch sizes, each with each."""

from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import conf.__main__
import filtering.__main__
from faults import races
from faults.children import run, start
from faults.stages import RUN, Bench, Tree, tree
from faults.tally import PROMISED, SILENT, STOPPED, Tally

SHARD_QUESTIONS = (8, 1, 3, 100)  # the first is that of the uninterrupted run
WORKERS = (1, 2, 8)
BATCHES = (1, 7, 512)


def layouts(bench: Bench) -> Tally:
    """Every shard size with every number of workers and batch size, all workers at once, and with some processes of
    filtering: the rows of the uninterrupted run, in its order, and its files byte for byte where the shards are of its
    size."""
    tally = Tally("shard sizes, workers, batches")
    stage, whole = races.generation_stage(bench, naive=False), contents(bench.whole)
    for size in SHARD_QUESTIONS:
        for world in WORKERS:
            for batch in BATCHES:
                folder = stage.begin(bench.scratch / "race")
                given = [f"launcher.shard_questions={size}", f"engine.throughput.max_num_seqs={batch}",
                         f"launcher.filter_processes={min(world, 3)}"]  # fmt: skip
                ended = [run(conf.__main__.main, [f"run={RUN}", *given], folder), run(races.plan, [], folder)]
                children = [start(partial(races.work, rank=rank, world=world), [], folder) for rank in range(world)]
                ended += [child.wait() for child in children]
                ended += [run(command, stage.argv, folder) for command in (stage.command, filtering.__main__.main)]
                same = contents(folder) == whole
                same &= size != SHARD_QUESTIONS[0] or first_iteration(folder) == first_iteration(bench.whole)
                outcome = STOPPED if any(e.code for e in ended) else PROMISED if same else SILENT
                tally.add(outcome, f"shards of {size}, {world} workers, batches of {batch}: {ended}")
    return tally


def contents(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of iteration 0's tables, in order, whatever the files they are in."""
    iteration = folder / "runs" / RUN / "iter_00"
    rows = {}
    for table in ("initial_answers", "corrections", "trajectories", "sft"):
        shards = [pq.read_table(path) for path in sorted((iteration / table).glob("*.parquet"))]
        rows[table] = pa.concat_tables(shards).to_pylist()
    return rows


def first_iteration(folder: Path) -> Tree:
    """Return the files of iteration 0."""
    return {name: content for name, content in tree(folder).items() if "/iter_00/" in name}
