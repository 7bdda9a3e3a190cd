"""A grid of runs: one ordinary run for every combination of the settings that have several values.

    .venv/bin/python sweep.py --multirun name=grid sampling.num_initial=1,3,5 strategy=EIF,FIE
    .venv/bin/python sweep.py sweep=ninit_x_ncorr name=grid iterations=3 data=web_questions hydra/launcher=joblib

Each combination is a Hydra job that runs `make iterate` for runs/<name>-<its values>; those that differ only in what
M_0's samples do not depend on copy them from one run, <name>.pool, which draws them at the largest sizes of the grid.
Started again, finished runs are skipped. A run that fails stops no other and is named at the end (exit code 1).
"""

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from analysis.patience import last_iteration, validation_t2, whole
from conf.__main__ import composed
from conf.identity import AFTER_BASE_MODEL, SAMPLE_SIZES, is_among, without
from conf.overrides import any_key, each_as_meant
from conf.validation import validate
from store.errors import ConfigError, PipelineError
from store.fingerprint import digest, flatten
from store.gpus import visible_gpus
from store.processes import die_with_parent
from store.publish import make_folder, write_atomic
from store.run import RUNS, Run
from store.shards import MANIFEST, read_object

PRESETS = Path(__file__).parent / "conf" / "sweep"
# not settings of the runs
OWN = ("name", "iterations", "patience", "max_iterations", "gpus_per_run", "sweep", "grid.axes")
# hydra/launcher: what Hydra presets otherwise is an hour, after which a run is not begun again
LAUNCHERS = {
    "submitit_local": {"hydra.launcher.timeout_min": 10080},  # a week
    "submitit_slurm": {"hydra.launcher.timeout_min": 240, "hydra.launcher.max_num_timeout": 10},  # as launcher=slurm
}
VISIBLE, GPUS = "CUDA_VISIBLE_DEVICES", "STASC_SWEEP_GPUS"  # of this process; and as its jobs on this machine read it
MULTIRUN = ("--multirun", "-m")  # to Hydra always, and first: it takes an option between settings for an error
NO_RESULT = "it has no result: not begun, or its job was lost; the same command again goes on"
SHORT = {"model": "", "data": "", "strategy": "", "recipe": "", "sampling.num_initial": "i",
         "sampling.num_corrections": "c", "seed": "s"}  # fmt: skip
POOLS = "pools.json"  # in the sweep's folder: what `pools` returns


def main(argv: list[str]) -> int:
    """Check every run's settings, run the grid, and sum it up."""
    argv = [argument if argument.startswith("-") else any_key(each_as_meant(argument)) for argument in argv]
    try:
        axes, jobs = grid(argv)
        if several := [key for key in axes if key in OWN]:
            raise ConfigError(
                f"{several[0]} is one for all runs of a sweep: give one value, or another sweep the other"
            )
        own = {"name": "sweep"} | {key: value for key, value in values(jobs[0]).items() if key in OWN}
        check_numbers(own)
        runs = {run_name(own["name"], axes, of_run(job)): of_run(job) for job in jobs}
        if len(runs) < len(jobs):
            raise ConfigError(f"{len(jobs)} combinations are {len(runs)} different runs: give each value once")
        composed_runs = [composed(Run(name), cell) for name, cell in runs.items()]
        for config in composed_runs:
            validate(config)
        pools_file = sweep_folder(own["name"]) / POOLS
        earlier = read_object(pools_file) if pools_file.exists() else {}  # jobs of another command may still wait
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    make_folder(sweep_folder(own["name"]))
    drawn = pools(own["name"], axes, runs, [flatten(config) for config in composed_runs])
    write_atomic(pools_file, json.dumps(earlier | drawn, indent=1).encode(), replace=True)
    given = values(argv)
    of_launcher = LAUNCHERS.get(given.get("hydra/launcher", ""), {})
    presets = [f"{key}={value}" for key, value in of_launcher.items() if key not in given]
    rest = [argument for argument in argv if argument not in MULTIRUN] + presets
    sys.argv = [sys.argv[0], MULTIRUN[0], *rest, f"grid.axes=[{','.join(axes)}]"]
    if VISIBLE in os.environ:
        os.environ[GPUS] = os.environ[VISIBLE]
    print(f"sweep {own['name']}: {len(runs)} runs", flush=True)
    lost = 0
    try:
        run_cell()
    except SystemExit:  # of Hydra, which has said why: a job was lost, or it knows no such launcher
        lost = 1
    return summarize(own["name"], runs) or lost


def grid(argv: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Return the settings that have several values, and the overrides of every job, as Hydra's sweeper will make
    them."""
    given = [argument for argument in argv if not argument.startswith("-")]
    preset = values(given).get("sweep", "custom")
    presets = {path.stem: path for path in PRESETS.glob("*.yaml")}
    if preset not in presets:
        raise ConfigError(f"sweep={preset} is not a preset; there are {', '.join(sorted(presets))}")
    settings = [f"{key!s}={value}" for key, value in OmegaConf.load(presets[preset]).items()]
    try:
        overrides = OverridesParser.create().parse_overrides([*settings, *given])
    except HydraException as error:
        raise ConfigError(f"{' '.join(given)} is not a list of settings: {error}") from None
    overrides = [override for override in overrides if not override.is_hydra_override()]
    if globs := [override.input_line for override in overrides if isinstance(override.value(), Glob)]:
        raise ConfigError(f"{globs[0]}: glob() is not expanded here, write the values out, as in strategy=EIF,FIE")
    last = {override.key_or_group: override for override in overrides}  # the command line's, where both have one
    axes = sorted(key for key, override in last.items() if override.is_sweep_override())
    return axes, BasicSweeper.split_arguments(overrides, None)[0]


def check_numbers(own: Mapping[str, str]) -> None:
    """Raise ConfigError for numbers, of iterations and GPUs, that every run would be refused for."""
    numbers = {"iterations": "1", "patience": "1", "max_iterations": "10", "gpus_per_run": "0"} | dict(own)
    if numbers["iterations"] != "auto":
        whole(numbers, "iterations", 0)
    whole(numbers, "patience", 1)
    whole(numbers, "max_iterations", 0)
    whole(numbers, "gpus_per_run", 0)


def values(overrides: Sequence[str]) -> dict[str, str]:
    """{key: value} of overrides such as `a.b=c` and `+a.d=e`."""
    return {key.lstrip("+~"): value for key, _, value in (override.partition("=") for override in overrides)}


def of_run(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that are a run's settings."""
    return [override for override in overrides if not values([override]).keys() & set(OWN)]


def run_name(sweep: str, axes: Sequence[str], overrides: Sequence[str]) -> str:
    """<sweep>-<value>-<value>..., of the axes alone and in an order of their own: the command's does not matter."""
    order = {key: place for place, key in enumerate(SHORT)}
    on_axes = {key: value for key, value in values(overrides).items() if key in axes}
    keys = sorted(on_axes, key=lambda key: (order.get(key, len(order)), key))
    parts = [SHORT.get(key, key.rpartition(".")[2]) + on_axes[key] for key in keys]
    name = "-".join([sweep, *(re.sub(r"[^A-Za-z0-9._-]+", "_", part) for part in parts)])
    if name != "-".join([sweep, *parts]):  # a/b and a:b are two runs
        name += f"-{digest(parts)[:6]}"
    return name if len(name) <= 100 else f"{name[:87]}-{digest(parts)[:12]}"


def pools(
    sweep: str, axes: Sequence[str], runs: Mapping[str, Sequence[str]], settings: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Return for each of `runs`, {name: overrides}, the run that draws M_0's samples for all that differ in nothing
    these depend on, and its overrides: those, and the largest sizes. settings: of each run, flattened."""
    bases = {name: shared(overrides) for name, overrides in runs.items()}
    names = {name: run_name(f"{sweep}.pool", axes, base) for name, base in bases.items()}
    found = {}
    for name, pool in names.items():
        of_pool = [each for other, each in zip(runs, settings, strict=True) if names[other] == pool]
        largest = [f"{size}={max(each[size] for each in of_pool)}" for size in SAMPLE_SIZES]
        found[name] = {"pool": pool, "overrides": [*bases[name], *largest]}
    return found


def shared(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that M_0's samples depend on; a recipe where it changes any such setting."""
    of_its_own = (*SAMPLE_SIZES, *AFTER_BASE_MODEL)
    kept = [o for o in overrides for key in values([o]) if not is_among(key, of_its_own)]
    others = [o for o in kept if "recipe" not in values([o])]
    if others == kept:
        return kept
    with_recipe, without_recipe = (without(composed(Run("pool"), some), of_its_own) for some in (kept, others))
    return others if with_recipe == without_recipe else kept


@hydra.main(version_base="1.3", config_path="conf", config_name="sweep")
def run_cell(config: DictConfig) -> None:
    """One run: its pool first, by whichever job needs it first, then `make iterate`. Writes down how it went."""
    overrides = of_run(HydraConfig.get().overrides.task)
    name = run_name(config.name, config.grid.axes, overrides)
    folder = sweep_folder(config.name)
    drawn = json.loads((folder / POOLS).read_bytes())[name]
    pool = drawn["pool"]
    make_folder(folder / "runs")
    started, gpus, made = time.monotonic(), None, name
    show_gpus()
    try:
        with gpu_share(config.gpus_per_run) as environment:
            gpus = environment.get(VISIBLE, "all")
            made, code = pool, make(pool, "0", drawn["overrides"], folder, environment)
            if code == 0:
                own = [*overrides, f"launcher.pool={pool}"]
                how_far = config.patience, config.max_iterations
                made, code = name, make(name, str(config.iterations), own, folder, environment, *how_far)
    except PipelineError as error:
        code = error.exit_code
        with open(folder / f"{name}.log", "ab") as log:
            log.write(f"error: {error}\n".encode())
    seconds = round(time.monotonic() - started, 1)
    log_path = f"{folder / made}.log"
    result = {"run": name, "pool": pool, "overrides": overrides, "exit_code": code, "seconds": seconds, "gpus": gpus,
              "log": log_path}  # fmt: skip
    write_atomic(folder / "runs" / f"{name}.json", json.dumps(result, indent=1).encode(), replace=True)
    print(f"{name}: {'done' if code == 0 else 'failed, see ' + log_path}, {seconds:.0f} s", flush=True)


def make(
    name: str, iterations: str, overrides: Sequence[str], folder: Path, environment: dict[str, str], patience: int = 1,
    most: int = 10,
) -> int:  # fmt: skip
    """`make iterate` with its output in <folder>/<name>.log; for a run that is finished, its settings are compared.

    Waits for whoever makes this run now: another job (of a pool), or what a killed sweep left at work, since its
    processes hold the lock as long as one of them lives. Make is told to stop when this process is killed.
    """
    with open(folder / f"{name}.log", "ab") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        if is_finished(Run(name), iterations, patience, most):
            command = [sys.executable, "-m", "conf", f"run={name}", *overrides]
        else:
            arguments = " ".join(map(quoted, overrides))
            how_far = (f"N={iterations}", f"PATIENCE={patience}", f"MAX={most}")
            command = ["make", "iterate", *how_far, f"RUN={name}", f"ARGS={arguments}"]
        return subprocess.run(
            command, env=environment, stdout=log, stderr=log, close_fds=False,
            preexec_fn=lambda: die_with_parent(signal.SIGTERM),
        ).returncode  # fmt: skip


def is_finished(run: Run, iterations: str, patience: int, most: int) -> bool:
    """Return whether the last iteration of a run is filtered; with iterations=auto, whether there is a last one yet."""
    if iterations == "auto":
        return last_iteration(validation_t2(run), patience, most) is not None
    return (run.iteration(int(iterations)).sft / MANIFEST).exists()


def quoted(override: str) -> str:
    """Return an override as Make hands it to the shell."""
    return "'" + override.replace("'", "'\\''").replace("$", "$$") + "'"


def sweep_folder(sweep: str) -> Path:
    return RUNS / "_sweeps" / sweep


def show_gpus() -> None:
    """Let a job of submitit_local see this machine's GPUs: submitit shows it none but those that were asked of it."""
    if os.environ.get("SUBMITIT_EXECUTOR") == "local" and not os.environ[VISIBLE]:
        del os.environ[VISIBLE]
        if GPUS in os.environ:
            os.environ[VISIBLE] = os.environ[GPUS]


@contextlib.contextmanager
def gpu_share(size: int) -> Iterator[dict[str, str]]:
    """Yield the environment of a run: all GPUs, or the first `size` of them that no other run of a sweep here holds."""
    environment = dict(os.environ)
    if not size:
        yield environment
        return
    gpus = [gpu.name for gpu in visible_gpus()]
    shares = [gpus[start : start + size] for start in range(0, len(gpus) - size + 1, size)]
    if not shares:
        raise ConfigError(f"gpus_per_run={size}, but {len(gpus)} GPUs are visible")
    while True:
        for share in shares:
            with open(RUNS / "_sweeps" / f".gpus-{os.uname().nodename}-{'-'.join(share)}.lock", "ab") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                os.set_inheritable(lock.fileno(), True)  # by make, which may outlive this process
                yield environment | {VISIBLE: ",".join(share)}
                return
        time.sleep(5)


def summarize(sweep: str, runs: dict[str, list[str]]) -> int:
    """Return the table of the finished runs, then those that failed, by name."""
    folder = sweep_folder(sweep)
    paths = {name: folder / "runs" / f"{name}.json" for name in runs}
    results = {name: json.loads(path.read_bytes()) if path.exists() else {} for name, path in paths.items()}
    failed = [name for name, result in results.items() if result.get("exit_code") != 0]
    if len(failed) < len(runs):
        subprocess.run([sys.executable, "-m", "analysis.runs", f"sweep={sweep}"], check=False)
    for name in failed:
        print(f"failed: {name}, {'see ' + results[name]['log'] if results[name] else NO_RESULT}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
