"""Fine-tune on the rows that iteration n-1 kept and publish M_n: algorithm 1, step 4.

    python -m training run=demo iteration=2
    accelerate launch --config_file training/accelerate/ddp.yaml --num_processes 2 -m training run=demo iteration=2

The second command trains on the same rows, in the same order and batches, in two processes.

Reads iter_01/sft/ and the checkpoint that the strategy fine-tunes (fixed: M_0, evolving: M_1).
Writes iter_02/checkpoint/, a complete model folder, and iter_02/stats/training.json; with models_of=<run> a reference
to that run's M_2.
"""

import contextlib
import json
import os
import resource
import shutil
import time
from typing import Any

import pyarrow as pa

from conf.schema import Config
from conf.stored import load
from store.chat import stop_token_ids
from store.checkpoints import RECORD, publish_folder, verify_folder
from store.errors import stage_main
from store.fingerprint import stable_hash
from store.processes import die_with_parent
from store.publish import make_folder, write_atomic
from store.run import Iteration, Run, iteration_number, locked, stage_arguments
from store.schemas import sft
from store.shards import corrupt, iter_shards
from store.stage import archive_superseded
from training.another_run import refer
from training.empty import keep_model_or_stop
from training.plan import Plan, is_published, make_plan, refuse_m_0
from training.preflight import RowCheck
from training.processes import require_processes
from training.separate_prompt import with_prompts

ROW = ("question_id", "init_index", "corr_index", "input_ids", "completion_mask")  # what stays in memory of each
WORLD_SIZE = int(os.environ.get("WORLD_SIZE", "1"))  # processes that torchrun or accelerate launch started
IS_MAIN_PROCESS = int(os.environ.get("RANK", "0")) == 0  # the one of them that locks, publishes and reports


def main(argv: list[str]) -> None:
    if "LOCAL_RANK" in os.environ:
        die_with_parent()  # accelerate launch, or torchrun
    arguments = stage_arguments(argv, "training", "run", "iteration")
    run, number = Run(arguments["run"]), iteration_number(arguments["iteration"])
    config = load(run)
    refuse_m_0(run, number)
    with locked(run) if IS_MAIN_PROCESS else contextlib.nullcontext():
        if config.models_of:
            if IS_MAIN_PROCESS:
                refer(run.iteration(number), Run(config.models_of))
            return
        plan = make_plan(run, number, config.seed, config.strategy, config.training, config.peft)
        iteration = run.iteration(number)
        if is_published(iteration.checkpoint, plan):
            report(f"{iteration.dir.name} training: complete")
        elif plan.num_rows == 0:
            archive_stale_outputs(iteration)
            keep_model_or_stop(plan, run.iteration(number - 1), iteration, config.training.on_empty)
        else:
            archive_stale_outputs(iteration)
            fine_tune(config, plan, iteration)
        remove_work(iteration)


def fine_tune(config: Config, plan: Plan, iteration: Iteration) -> None:
    """Check the rows, train on them, check what was trained, publish it."""
    if waits := require_processes(WORLD_SIZE, config.device):
        report(f"{iteration.dir.name} training: {waits}")
    from training import model_folder  # with torch, transformers, trl and peft: seconds
    from training.disk import os_errors
    from training.memory import out_of_memory
    from training.postflight import require_stops, rounding_cost
    from training.trainer import train

    started = time.monotonic()
    base, settings = plan.base_folder, config.training
    verify_folder(base, plan.base)
    vocab_size, max_positions = model_folder.sizes(base)
    stops = frozenset(stop_token_ids(base, config.sampling.args))
    max_length = min(max_positions, settings.max_length or max_positions)
    rows = read_rows(plan, RowCheck(vocab_size, stops, max_length), config.model.template_args)

    work = iteration.dir / f".training-{plan.fingerprint[:16]}"
    make_folder(work)
    seed = stable_hash(config.seed, "training", iteration.number) % 2**32  # numpy takes no more bits
    ready = work / "checkpoint"
    os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(iteration.logs / "tensorboard"))
    with os_errors(work):
        trained = train(rows, base, work, settings, config.peft, seed, config.device)
        if not IS_MAIN_PROCESS:
            return
        if trained.untrained:
            report(f"no part of the trained model, copied as they are: {model_folder.listing(trained.untrained)}")
        model_folder.write_folder(trained.folder, base, ready, settings.publish_dtype)
    with out_of_memory():  # the trainer has given its model and its optimizer back
        rounding = rounding_cost(trained.folder, base, ready, rows, config.device)
        if rounding:
            report(f"{iteration.dir.name} training: {describe_rounding(rounding)}")
        stop_rate = require_stops(ready, rows, stops, settings.stop_check, config.device)
    publish_folder(ready, iteration.checkpoint, plan.settings, plan.parents)
    costs = trained.costs() | {
        "processes": WORLD_SIZE,
        "rows": rows.num_rows,
        "rows_kept": {kept.folder.parent.name: kept.manifest.written for kept in plan.rows},
        "stop_rate": stop_rate,
        "rounding": rounding,
        "seconds": round(time.monotonic() - started, 1),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    write_atomic(iteration.stats / "training.json", json.dumps(costs, indent=1).encode(), replace=True)
    report(f"{iteration.dir.name} training: {describe(costs)}")


def read_rows(plan: Plan, check: RowCheck, template_args: dict[str, Any]) -> pa.Table:
    """All rows, verified and checked shard by shard; only their keys and tokens stay in memory."""
    from training.rows import with_large_lists, without_repeats

    tables = []
    for kept in plan.rows:
        schema = sft(kept.manifest.extra.get("is_mixed", False))
        for _, table in iter_shards(kept.folder, kept.manifest, "train", schema):
            if kept.manifest.settings.get("training_prompt"):
                table = with_prompts(table, plan.base_folder, template_args)
            check.add(table)
            tables.append(with_large_lists(table.select(ROW)))
        check.refuse(str(kept.folder), kept.made_by)
    assert check.num_rows == plan.num_rows, f"{check.num_rows} rows, {plan.num_rows} stated"
    rows = pa.concat_tables(tables).combine_chunks()
    return without_repeats(rows) if plan.settings["rows"] == "all" else rows


def archive_stale_outputs(iteration: Iteration) -> None:
    """Move a checkpoint aside whose parents were rebuilt; refuse a folder that nobody published."""
    target = iteration.checkpoint
    if not IS_MAIN_PROCESS or not target.exists():
        return
    if not (target / RECORD).exists():
        raise corrupt(target, f"it has no {RECORD}")
    report(f"{target}: made from earlier rows or weights; moved to {archive_superseded(target).name} and rebuilt")


def remove_work(iteration: Iteration) -> None:
    """Drop the work folders of an iteration that is published: its own, and those of earlier rows."""
    if IS_MAIN_PROCESS:
        for folder in iteration.dir.glob(".training-*"):
            shutil.rmtree(folder)


def describe(costs: dict[str, Any]) -> str:
    """One line of what training took."""
    return (
        f"{costs['rows']:,} rows, {costs['steps']:,} steps, loss {costs['log'][0]['loss']:.3f} -> "
        f"{costs['log'][-1]['loss']:.3f}, {costs['trained_tokens_per_second']:,.0f} trained tokens/s, "
        f"peak {costs['peak_memory_bytes'] / 2**30:.1f} GiB, {costs['seconds']:.0f} s"
    )


def describe_rounding(rounding: dict[str, Any]) -> str:
    """One line of what the published dtype costs."""
    return (
        f"published in {rounding['dtype']}, loss on {rounding['rows']} training rows {rounding['loss_float32']:.3f} -> "
        f"{rounding['loss_published']:.3f} (training.publish_dtype=float32 would keep it)"
    )


def report(line: str) -> None:
    if IS_MAIN_PROCESS:
        print(line, flush=True)


if __name__ == "__main__":
    stage_main(main)
