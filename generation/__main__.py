"""Generate M_n's initial answers and corrections for all splits, with one engine start per worker.

    python -m generation run=demo iteration=2

Reads runs/demo/questions/ and iter_02/checkpoint/ (M_0: base_model.json).
Writes iter_02/initial_answers/ and iter_02/corrections/: raw samples, every one of them kept.
"""

import os
import subprocess
import sys
import time

from conf.schema import Config, load
from data.errors import ConfigError, stage_main
from data.publish import make_folder, sweep_temporaries
from data.run import Run, iteration_number, locked, stage_arguments
from generation.jobs import Workplace
from generation.manifests import write_manifests
from generation.plan import Plan, is_complete, make_plan, settled_plan
from generation.pool import copy_samples
from generation.progress import Progress
from generation.supervisor import Supervisor


def main(argv: list[str]) -> None:
    arguments = stage_arguments(argv, "generation", "run", "iteration")
    run, number = Run(arguments["run"]), iteration_number(arguments["iteration"])
    config = load(run)
    with locked(run):
        folder = run.iteration(number)
        plan = settled_plan(folder.dir, make_plan(run, config, number))
        label = f"iter_{number:02d} generation"
        if is_complete(folder.dir, plan):
            print(f"{label}: complete", flush=True)
            return
        started = time.monotonic()
        for part in (folder.initial_answers, folder.corrections, folder.costs):
            make_folder(part)
            sweep_temporaries(part)
        if config.launcher.pool and number == 0:
            copied = copy_samples(run, plan, Run(config.launcher.pool))
            print(f"{label}: {copied:,} samples copied from {config.launcher.pool}", flush=True)
        generate(run, config, plan, label)
        manifests = write_manifests(run, plan)
        rows = sum(manifest.written for manifest in manifests.values())
        set_aside = sum(manifest.quarantined for manifest in manifests.values())
        print(f"{label}: {rows:,} samples, {set_aside} set aside, {time.monotonic() - started:.0f} s", flush=True)


def generate(run: Run, config: Config, plan: Plan, label: str) -> None:
    """Run the workers until every planned shard is on disk."""
    if all(map(Workplace(run, plan).is_done, plan.shards)):
        return
    gpus = visible_gpus() if config.device == "cuda" else []
    world = num_workers(config, gpus)
    own = [s for s in plan.shards if s.split not in plan.reused]
    planned = sum((s.stop - s.start) * s.num_initial for s in own)
    planned += sum((s.stop - s.start) * s.num_initial * s.num_corrections for s in plan.shards)
    progress = Progress(label, planned)
    command = [sys.executable, "-m", "generation.worker", f"run={run.name}", f"iteration={plan.iteration}"]
    Supervisor(command, world, config.launcher.max_restarts, run.iteration(plan.iteration).costs, gpus).run(progress)
    progress.show(last=True)


def num_workers(config: Config, gpus: list[str]) -> int:
    """launcher.workers, or with 0 one per GPU (or per tensor_parallel_size of them), one on CPU."""
    per_engine = config.engine.throughput.get("tensor_parallel_size", 1)
    if gpus and len(gpus) < per_engine:
        raise ConfigError(
            f"engine.throughput.tensor_parallel_size={per_engine} but {len(gpus)} GPUs are visible: lower it, or "
            "make more GPUs visible with CUDA_VISIBLE_DEVICES"
        )
    return config.launcher.workers or max(1, len(gpus) // per_engine)


def visible_gpus() -> list[str]:
    """The GPUs this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [gpu for gpu in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if gpu]
    try:
        listing = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise ConfigError(f"device=cuda but nvidia-smi does not answer ({error}): use ACCELERATOR=cpu") from None
    return [str(index) for index in range(len(listing.splitlines()))]


if __name__ == "__main__":
    stage_main(main)
