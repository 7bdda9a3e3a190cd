"""How fast the stages are, beside the plain ways to do the same, and what the machine allows.

    python -m benchmarks                          all parts: an hour or more on one core
    python -m benchmarks filtering parquet        some of them
    python -m benchmarks size=gpu                 on a GPU, with a model of 1.5 billion parameters
    python -m benchmarks size=gpu shrink=100 device=cpu throughput
                                                  the GPU size's way, a hundredth of it, where there is no GPU

Prints a table; writes runs/_bench/<size>-<part>.json with the machine, the versions and the value of every repeat.
On CPU everything runs on one core with one thread, where ratios hold on a machine that others use too.
"""

import json
import os
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from benchmarks.measure import Row, as_json, machine, table
from benchmarks.place import CORES, ROOT, SIZES, Place, Size
from store.publish import make_folder, write_atomic

# Each a module with `measure(place)`.
PARTS = ("generation", "frontend", "settings", "filtering", "training", "parquet", "growth", "throughput", "floor")
RESULTS = Path("runs") / "_bench"


def main(arguments: list[str]) -> None:
    options = dict(a.split("=", 1) for a in arguments if "=" in a)
    parts = [a for a in arguments if "=" not in a] or list(PARTS)
    name, shrink = options.get("size", "cpu"), options.get("shrink", "1")
    known = name in SIZES and shrink.isdecimal() and int(shrink) and options.keys() <= {"size", "shrink", "device"}
    if not known or options.get("device", "cpu") not in ("cpu", "cuda") or set(parts) - set(PARTS):
        sys.exit(
            f"usage: python -m benchmarks [size={'|'.join(SIZES)}] [shrink=N] [device=cpu|cuda] "
            f"[{' | '.join(PARTS)}] ..."
        )
    size = SIZES[name].shrunk(int(shrink)).on(options.get("device", SIZES[name].device))
    settle(size.device, name)
    if len(parts) == 1:
        measure(name, size, parts[0])
        return
    given = [a for a in arguments if "=" in a]
    for part in parts:  # each in a process of its own: memory and caches are not shared
        subprocess.run([sys.executable, "-m", "benchmarks", *given, part], check=True, stdout=sys.stderr)
    print(json.dumps(machine(size.device), indent=1))
    print(table([row for part in parts for row in read(name, part)]))


def settle(device: str, name: str) -> None:
    """One core and one thread on CPU, one GPU otherwise, for this process and those it starts; the GPU size's engine
    core is a process of its own on a CPU too."""
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ.setdefault(CORES, ",".join(map(str, os.sched_getaffinity(0))))
    if name == "gpu":
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    if device == "cpu":
        core = max(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {core})
        os.environ |= {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": str(core)}
    else:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")


def measure(name: str, size: Size, part: str) -> None:
    with tempfile.TemporaryDirectory(prefix="stasc-bench-") as scratch:
        rows = import_module(f"benchmarks.{part}").measure(Place(Path(scratch), size))
    make_folder(RESULTS)
    write_atomic(RESULTS / f"{name}-{part}.json", as_json(part, rows, size.device).encode(), replace=True)
    print(table(rows), flush=True)


def read(size: str, part: str) -> list[Row]:
    measured = json.loads((RESULTS / f"{size}-{part}.json").read_text(encoding="utf-8"))["rows"]
    names = ("name", "values", "unit", "at_least", "at_most")
    return [Row(**{name: row[name] for name in names}) for row in measured]


if __name__ == "__main__":
    main(sys.argv[1:])
