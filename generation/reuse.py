"""Iteration 0 from another run's samples of M_0, so that the runs of a grid draw no sample twice.

A sample's seed comes from its question and its indices, never from N_init x N_corr: the samples of a 1 x 3 run are the
first ones of a 5 x 5 run. `launcher.pool` names the run that holds the larger grid; nothing else may differ.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from conf.identity import SAMPLE_SIZES, without
from generation.context import ShardContext, schema_of
from generation.plan import Plan, Shard, is_complete, read_plan
from store.errors import ConfigError
from store.fingerprint import refuse_difference
from store.publish import write_atomic
from store.run import PLAN, Run
from store.shards import corrupt, read_shard, required_manifest

# What the first samples of a question do not depend on.
SIZES = (*SAMPLE_SIZES, "eval.initialization", "initialization")


def copy_samples(run: Run, plan: Plan, pool: Run) -> int:
    """Publish every shard of `plan` (of iteration 0) that the pool's samples cover; returns the samples copied.

    FingerprintMismatch with the keys that differ where the pool was drawn otherwise, ConfigError where it is not
    finished or was cut into other shards. What the pool has too few samples for is left to be drawn.
    """
    started = time.monotonic()
    folder = pool.iteration(0).dir
    if not (folder / PLAN).exists() or not is_complete(folder, theirs := read_plan(folder)):
        raise ConfigError(
            f"launcher.pool={pool.name}: {folder} is not complete; run `make iterate N=0 RUN={pool.name}` first"
        )
    way_out = "Leave launcher.pool out, or name a run that differs in its numbers of samples alone."
    refuse_difference(f"launcher.pool={pool.name}", identity(theirs), identity(plan), way_out)
    theirs_by_place = {(s.file, s.start, s.stop): s for s in theirs.shards}
    if not any((s.file, s.start, s.stop) in theirs_by_place for s in plan.shards):
        raise ConfigError(
            f"launcher.pool={pool.name} was cut into other shards: use its launcher.shard_questions, "
            f"{max(s.stop - s.start for s in theirs.shards)}"
        )
    context, copied = ShardContext(run, plan), 0
    for shard in plan.shards:
        larger = theirs_by_place.get((shard.file, shard.start, shard.stop))
        if larger and covers(larger, shard) and not context.is_done(shard):
            copied += copy_shard(context, shard, pool)
    if copied:
        counts = {"copied_samples": copied, "generated_tokens": 0, "seconds": round(time.monotonic() - started, 3)}
        write_atomic(context.folder.stats / "generation-pool.json", json.dumps(counts, indent=1).encode(), replace=True)
    return copied


def covers(larger: Shard, shard: Shard) -> bool:
    sizes = ("num_initial", "num_corrections", "num_rounds")
    return all(getattr(larger, size) >= getattr(shard, size) for size in sizes)


def copy_shard(context: ShardContext, shard: Shard, pool: Run) -> int:
    """Publish a shard's samples as those of the pool with indices below N_init and N_corr; returns their number."""
    source, copied = pool.iteration(0), 0
    more: dict[str, str] = {}
    for turn in range(shard.num_rounds + 1):
        table, refused = verified(source.corrections_of(turn) if turn else source.initial_answers, shard)
        table = table.filter(pc.less(table["init_index"], shard.num_initial))
        if turn:
            table = table.filter(pc.less(table["corr_index"], shard.num_corrections))
        rows = (shard.num_initial, shard.num_corrections, 1)[min(turn, 2)]
        context.write(shard, turn, table, within(refused, shard, rows), **more)
        more = {"corrected_sha256": read_shard(context.path(shard, turn), schema_of(turn))[1]["sha256"]}
        copied += table.num_rows
    return copied


def verified(folder: Path, shard: Shard) -> tuple[pa.Table, list[dict[str, Any]]]:
    """Return a finished shard of the pool, and what it quarantined."""
    table, header = read_shard(folder / shard.file)
    if header["sha256"] != required_manifest(folder, "make iterate N=0").shards[shard.file]["sha256"]:
        raise corrupt(folder / shard.file, "it is not the one that the manifest names")
    return table, header["quarantined"]


def within(refused: list[dict[str, Any]], shard: Shard, rows: int) -> list[dict[str, Any]]:
    """Return the pool's entries for prompts of the smaller grid; one for a whole prompt stands for `rows` samples."""
    sizes = {"init_index": shard.num_initial, "corr_index": shard.num_corrections}
    inside = [entry for entry in refused if all(entry[key] < sizes[key] for key in sizes if key in entry)]
    return [entry | {"rows": min(entry["rows"], rows)} for entry in inside]


def identity(plan: Plan) -> Mapping[str, Any]:
    """Return what two plans must have in common for their first samples to be the same."""
    return without(plan.settings, SIZES) | {f"digest of {name}": value for name, value in plan.parents.items()}
