"""Generate M_n's initial answers and corrections for all splits, with one engine start per worker.

    python -m generation run=demo iteration=2

Reads runs/demo/questions/ and iter_02/checkpoint/ (M_0: base_model.json).
Writes iter_02/initial_answers/ and iter_02/corrections/: raw samples, every one of them kept.
"""

import time

from conf.stored import load
from generation.configured import plan_of, settings_of
from generation.context import ShardContext
from generation.launchers import LAUNCHERS
from generation.manifests import write_manifests
from generation.model_check import require_usable
from generation.plan import PLAN, is_complete, load_or_write_plan, tables
from generation.progress import Progress, num_samples
from generation.reuse import copy_samples
from store.checkpoints import locate
from store.errors import stage_main
from store.publish import make_folder, sweep_temporaries
from store.run import Iteration, Run, iteration_number, locked, stage_arguments
from store.shards import read_object


def main(argv: list[str]) -> None:
    arguments = stage_arguments(argv, "generation", "run", "iteration")
    run, number = Run(arguments["run"]), iteration_number(arguments["iteration"])
    config = load(run)
    with locked(run):
        folder = run.iteration(number)
        plan = plan_of(run, config, number)
        if number == 0 and not (folder.dir / PLAN).exists():  # what is refused leaves the run as it was
            require_usable(run, settings_of(config), locate(run, 0)[0], config.compat.separate_training_prompt)
        plan = load_or_write_plan(folder.dir, plan)
        label = f"iter_{number:02d} generation"
        if is_complete(folder.dir, plan):
            print(f"{label}: complete", flush=True)
            return
        started = time.monotonic()
        for part in (*tables(folder.dir, plan), folder.stats, folder.logs):
            make_folder(part)
            sweep_temporaries(part)
        if config.launcher.pool and number == 0:
            copied = copy_samples(run, plan, Run(config.launcher.pool))
            print(f"{label}: {copied:,} samples copied from {config.launcher.pool}", flush=True)
        context = ShardContext(run, plan)
        if not context.all_done():
            progress = Progress(label, num_samples(plan, context.is_done))
            launch = LAUNCHERS[config.launcher.kind]  # its workers sample every shard that is missing
            launch(run, plan, config.launcher, config.engine, config.device, progress)
            progress.show(last=True)
        manifests = write_manifests(run, plan)
        rows = sum(manifest.written for manifest in manifests.values())
        quarantined = sum(manifest.quarantined for manifest in manifests.values())
        seconds = f"{time.monotonic() - started:.0f} s"
        print(f"{label}: {rows:,} samples, {quarantined} quarantined, {peak_memory(folder)}{seconds}", flush=True)


def peak_memory(folder: Iteration) -> str:
    """Return what a worker held at most of the machine's memory; nothing where there was none."""
    costs = (read_object(path) for path in folder.stats.glob("generation-*.json"))
    peak = max((each.get("peak_memory_bytes", 0) for each in costs), default=0)
    return f"peak {peak / 2**30:.1f} GiB a worker, " if peak else ""


if __name__ == "__main__":
    stage_main(main)
