"""Where measurements are made: a scratch folder with runs of its own, and how large they are."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from store.run import Run

ROOT = Path(__file__).parents[1]
CORES = "STASC_BENCH_CORES"  # the environment variable with the cores that the command began with


@dataclass(frozen=True)
class Size:
    """settings: of generation; requests: how many transformers.generate gets; training_rows: of a repeat, whole
    batches; pairs: of the filtering stage; growth: multiples of its smallest run."""

    device: str
    settings: list[str]
    requests: int
    training_rows: int
    repeats: int = 3
    pairs: int = 1_000_000
    growth: tuple[int, ...] = (1, 10, 100)

    def shrunk(self, times: int) -> "Size":
        """Return this size with so many times fewer questions and rows: to see that it runs, not to measure."""
        if times == 1:
            return self
        parts = [setting.partition("=") for setting in self.settings]
        settings = [f"{key}={max(2, int(value) // times)}" if key.startswith("data.") else f"{key}={value}"
                    for key, _, value in parts]  # fmt: skip
        requests, rows = (max(8, number // times) for number in (self.requests, self.training_rows))
        return replace(self, settings=settings, requests=requests, training_rows=rows // 8 * 8, repeats=1)

    def on(self, device: str) -> "Size":
        """Return this size on another device, without what only a GPU's engine is given."""
        if device == self.device:
            return self
        settings = [setting for setting in self.settings if "gpu_memory_utilization" not in setting]
        return replace(self, device=device, settings=settings)


SIZES = {
    "cpu": Size(  # 224 samples
        device="cpu",
        settings=[
            "data.train=12", "data.validation=2", "data.test=2", "sampling.num_initial=3", "sampling.num_corrections=5",
            "launcher.shard_questions=4",
        ],
        requests=32,
        training_rows=48,
    ),
    "gpu": Size(  # 16,000 samples, every one of 64 tokens
        device="cuda",
        settings=[
            "data.train=500", "data.validation=250", "data.test=250", "sampling.num_initial=5",
            "sampling.num_corrections=5", "sampling.max_tokens=64", "+sampling.args.min_tokens=64",
            "engine.throughput.gpu_memory_utilization=0.6",  # transformers.generate needs some as well
        ],
        requests=512,
        training_rows=512,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Spent:
    """What a command took: seconds of wall and of processor time, bytes at the peak of its largest process and of all
    together; what they share counts once for each."""

    wall: float
    cpu: float
    peak: int
    together: int


def memory(pid: int) -> tuple[int, int]:
    """Of a process and its children, the most that one has held and what they hold together, in bytes. Not wait4's
    ru_maxrss: that begins with what the parent held."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        lines = [line for each in (pid, *children) for line in Path(f"/proc/{each}/status").read_text().splitlines()]
    except (FileNotFoundError, ProcessLookupError):  # one of them has ended
        return 0, 0
    held = {key: [int(line.split()[1]) * 1024 for line in lines if line.startswith(key)] for key in ("VmHWM", "VmRSS")}
    return max(held["VmHWM"], default=0), sum(held["VmRSS"])


@contextlib.contextmanager
def every_core() -> Iterator[int]:
    """On the cores that the command began with, not on the one that it keeps to; how many they are."""
    kept, cores = os.sched_getaffinity(0), {int(core) for core in os.environ[CORES].split(",")}
    os.sched_setaffinity(0, cores)
    try:
        yield len(cores)
    finally:
        os.sched_setaffinity(0, kept)


class Place:
    """A scratch folder in which stages run as a user runs them."""

    def __init__(self, folder: Path, size: Size) -> None:
        self.folder, self.size = folder, size

    def stage(self, *command: str) -> Spent:
        """Run `python -m <command>` to its end; what it prints is shown when it fails."""
        log = self.folder / "log"
        started = time.monotonic()
        with open(log, "w+", encoding="utf-8") as output:
            process = subprocess.Popen([sys.executable, "-m", *command], cwd=self.folder, stdout=output, stderr=output)
            peak = together = 0
            while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
                largest, held = memory(process.pid)
                peak, together = max(peak, largest), max(together, held)
                time.sleep(0.02)
        process.returncode = os.waitstatus_to_exitcode(ended[1])
        said = log.read_text(encoding="utf-8", errors="replace")
        assert process.returncode == 0, f"{command}: exit {process.returncode}\n{said}"
        return Spent(time.monotonic() - started, ended[2].ru_utime + ended[2].ru_stime, peak, together)

    def seconds(self, spent: Spent) -> float:
        """As benchmarks.measure.clock counts them."""
        multi_process = os.environ.get("VLLM_ENABLE_V1_MULTIPROCESSING") == "1"
        return spent.wall if self.size.device == "cuda" or multi_process else spent.cpu

    def configure(self, name: str, *overrides: str) -> Run:
        self.stage("conf", f"run={name}", *overrides)
        return Run(name, self.folder / "runs")

    def start(self, name: str, *overrides: str) -> Run:
        """Return a run with its configuration, questions and M_0."""
        run = self.configure(name, *overrides)
        self.stage("data", f"run={name}")
        self.stage("training.base_model", f"run={name}")
        return run
