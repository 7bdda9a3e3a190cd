"""The alternatives of the defaults in conf/engine/vllm_cpu.yaml and conf/sampling/qa.yaml, one changed at a time.

Every alternative is an engine in a process of its own, and takes turns with one that has the defaults: the same
requests, A B A B. On CPU alone: its settings are others than a GPU's.
"""

import contextlib
import ctypes.util
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from benchmarks.measure import Row, ratios
from benchmarks.place import Place, every_core
from store.run import Run

SAMPLES = {"sampling.num_initial": 3, "sampling.num_corrections": 5}  # 18 requests for each of the size's questions
REQUESTS = 144  # of a repeat: 16 more than run at a time
MANY = 288  # where other numbers are to run at a time
WARM_UP = 16
REPEATS = 2
VLLMS_TOP_P = {"top_p": 0.9, "args": {"min_p": 0.0}}  # beside min_p, ours is not used


@dataclass(frozen=True)
class Alternative:
    """changes: see benchmarks.changed_engine. environment: of its process. grouped: one request for all samples of a
    prompt. cores: those it may use, where not the bench's one core."""

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    requests: int = REQUESTS
    grouped: bool = False
    cores: tuple[int, ...] = ()


def throughput(requests: int = REQUESTS, **setting: Any) -> Alternative:
    name = ", ".join(f"{key}={value}" for key, value in setting.items())
    return Alternative(name, {"throughput": setting}, requests=requests)


def alternatives() -> list[Alternative]:
    """Return what is available on this machine."""
    found = [
        throughput(block_size=64),
        throughput(block_size=128),
        throughput(MANY, max_num_seqs=32),
        throughput(MANY, max_num_seqs=64),
        throughput(MANY, max_num_seqs=256),
        throughput(max_num_batched_tokens=2048),
        throughput(enable_prefix_caching=False),
        throughput(enable_chunked_prefill=True),
        throughput(enforce_eager=True),
        Alternative("dtype=float32", {"args": {"dtype": "float32"}}),
        Alternative("n samples per request, neighboring seeds", grouped=True),
        Alternative("top_p=0.9", {"sampling": {"top_p": 0.9}}),
        Alternative("top_p=0.9, vLLM's own", {"sampling": VLLMS_TOP_P}),
    ]
    kept = {"MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "134217728"}
    found.append(Alternative("glibc gives blocks of 1 MiB and more back at once", environment=kept))
    library = ctypes.util.find_library("tcmalloc_minimal") or ctypes.util.find_library("tcmalloc")
    if library:
        found.append(Alternative(f"LD_PRELOAD={library}", environment={"LD_PRELOAD": library}))
    return found


class EngineProcess:
    """benchmarks.changed_engine, at work."""

    def __init__(self, place: Place, run: Run, alternative: Alternative) -> None:
        self.log = place.folder / f"{alternative.name}.log"
        read_end, write_end = os.pipe()
        arguments = [f"run={run.name}", f"changes={json.dumps(alternative.changes)}", f"answers={write_end}"]
        with open(self.log, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.changed_engine", *arguments], cwd=place.folder,
                env=os.environ | alternative.environment, pass_fds=(write_end,), stdin=subprocess.PIPE, stdout=output,
                stderr=output, text=True,
                preexec_fn=lambda: alternative.cores and os.sched_setaffinity(0, alternative.cores),
            )  # fmt: skip
        os.close(write_end)
        self.answers = os.fdopen(read_end, encoding="utf-8")

    def rate(self, requests: int, grouped: bool = False, wall: bool = False) -> float:
        """Tokens per second; ChildProcessError with the end of its log when the process has died."""
        with contextlib.suppress(BrokenPipeError):  # the answer, or its absence, tells
            print(json.dumps({"requests": requests, "grouped": grouped}), file=self.process.stdin, flush=True)
        answer = self.answers.readline()
        if not answer:
            said = [line for line in self.log.read_text(errors="replace").splitlines() if "Error" in line]
            raise ChildProcessError(said[-1].strip() if said else "it died without a word")
        spent = json.loads(answer)
        return spent["tokens"] / spent["wall" if wall else "seconds"]

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.answers.close()


def measure(place: Place) -> list[Row]:
    if place.size.device != "cpu":
        return []
    samples = (f"{key}={value}" for key, value in SAMPLES.items())
    run = place.start("settings", "device=cpu", *place.size.settings, *samples)
    default = EngineProcess(place, run, Alternative("defaults"))
    default.rate(WARM_UP)
    rows, rates = [], []
    for alternative in alternatives():
        found, beside = compare(place, run, default, alternative)
        rows += found
        rates += beside
    default.close()
    with every_core():
        rows += on_two_cores(place, run)
    return [Row("the defaults, beside each alternative", rates, "tokens/s"), *rows]


def compare(place: Place, run: Run, default: EngineProcess, alternative: Alternative) -> tuple[list[Row], list[float]]:
    """Return the rows of an alternative, and the rates of the defaults that took turns with it. One that vLLM refuses
    has the rate 0 and the reason in its name."""
    engine, ours, theirs = default if alternative.grouped else EngineProcess(place, run, alternative), [], []
    try:
        engine.rate(WARM_UP, alternative.grouped)
        for _ in range(REPEATS):
            theirs.append(default.rate(alternative.requests))
            ours.append(engine.rate(alternative.requests, alternative.grouped))
    except ChildProcessError as error:
        if default.process.poll() is not None:
            raise
        return [Row(f"{alternative.name}: refused, {str(error)[:200]}", [0.0], "tokens/s")], []
    finally:
        if engine is not default:
            engine.close()
    rows = [
        Row(alternative.name, ours, "tokens/s"),
        Row(f"{alternative.name} / the defaults", ratios(ours, theirs), "x"),
    ]
    return rows, theirs


def on_two_cores(place: Place, run: Run) -> list[Row]:
    """Return what two cores give in seconds on the clock: one engine with two threads, and two engines with a core
    each."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        return []
    shares = {"both": tuple(cores), "first": (cores[0],), "second": (cores[1],)}
    engines = {name: EngineProcess(place, run, on_cores(name, share)) for name, share in shares.items()}
    both, *pair = engines.values()
    for engine in engines.values():
        engine.rate(WARM_UP)
    one, two = [], []
    with ThreadPoolExecutor(2) as threads:
        for _ in range(REPEATS):
            one.append(both.rate(REQUESTS, wall=True))
            two.append(sum(threads.map(lambda engine: engine.rate(REQUESTS, wall=True), pair)))
    for engine in engines.values():
        engine.close()
    return [
        Row("one engine with two threads on two cores, wall clock", one, "tokens/s"),
        Row("two engines with a core each, wall clock", two, "tokens/s"),
        Row("two engines with a core each / one with both", ratios(two, one), "x"),
    ]


def on_cores(name: str, cores: tuple[int, ...]) -> Alternative:
    bound = {"OMP_NUM_THREADS": str(len(cores)), "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cores))}
    return Alternative(name, environment=bound, cores=cores)
