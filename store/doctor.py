"""Print what this machine has for the pipeline, what is missing and what to do about it, on one page.

    python3 -m store.doctor cpu

Needs nothing but Python, so it runs before anything is installed; `make doctor` names the accelerator. Exits with 2
where something is missing.
"""

import os
import re
import shutil
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from store import machine
from store.errors import ConfigError
from store.gpus import Gpu, driver_too_old, installed_gpus, visible_gpus
from store.prerequisites import dotted, missing

ROOT = Path(__file__).parents[1]
HUB_SECONDS = 4
TRUE = {"1", "ON", "YES", "TRUE"}  # as huggingface_hub reads HF_HUB_OFFLINE
PRESET = re.compile(r"override /(\w+): (\S+)")


def main(accelerator: str) -> int:
    """Print the page; return the exit code."""
    problems = missing(accelerator)
    gpus, visible = installed_gpus(), []
    if accelerator == "cuda":
        try:
            visible = visible_gpus()
            if not visible:
                problems.append("no GPU is visible: see CUDA_VISIBLE_DEVICES, or use ACCELERATOR=cpu")
        except ConfigError as error:
            problems.append(str(error))
    environment = ROOT / ".venv" / ".accelerator"
    installed = environment.read_text(encoding="utf-8").strip() if environment.exists() else None
    if installed and installed != accelerator:
        problems.append(f"ACCELERATOR={accelerator}, and .venv was made for {installed}: `make setup` makes it again")
    rows = [("Python", f"{sys.version.split()[0]}, {sys.executable}"),
            ("environment", f".venv for {installed}" if installed else "none yet: `make setup` makes it"),
            *system_rows(), *gpu_rows(gpus, visible, accelerator), *network_rows(problems),
            *choice_rows(accelerator, visible)]  # fmt: skip
    for label, value in rows:
        print(f"{label:<12} {value}")
    for problem in problems:
        print(f"\nTO DO        {problem}.")
    if not problems:
        print("\nNothing is missing.")
    return 2 if problems else 0


def system_rows() -> Iterator[tuple[str, str]]:
    """Yield what the machine has apart from GPUs: figures first, then programs, then disks."""
    cores, all_cores = machine.num_cores(), len(os.sched_getaffinity(0))
    yield "cores", f"{cores}" if cores == all_cores else f"{cores} by the control group's quota, of {all_cores}"
    yield "memory", f"{gib(machine.free_memory())} free"
    version = machine.glibc()
    yield "system", f"glibc {dotted(version)}" if version else "a C library that is not glibc"
    yield "compilers", f"C: {machine.c_compiler() or 'none'}, C++: {machine.cxx_compiler() or 'none'}"
    yield "headers", str(machine.python_header() or "no Python.h")
    yield "libnuma", "there" if machine.has_library("libnuma.so.1") else "not there"
    without = "glibc's; with libtcmalloc-minimal4 engines are faster, and their memory flatter"
    yield "sandbox", shutil.which("bwrap") or "none: reward=unit_tests needs bubblewrap"
    yield "allocator", str(machine.tcmalloc() or without)
    yield "disk", f"{gib(machine.free_disk(ROOT))} free for .venv and runs/ ({ROOT})"
    folder = machine.build_folder()
    noexec = ", mounted noexec" if folder.is_dir() and machine.is_noexec(folder) else ""
    yield "compiles in", f"{folder}{noexec}, {gib(machine.free_disk(folder))} free"
    cache = Path(os.environ.get("STASC_CACHE") or ROOT / "data" / "cache")
    yield "cache", f"{cache}: {gib(size(cache))} of models and questions, {gib(machine.free_disk(cache))} free"


def gpu_rows(gpus: list[Gpu] | None, visible: list[Gpu], accelerator: str) -> Iterator[tuple[str, str]]:
    """Yield the driver and every GPU, with the MIG instances of those that are split."""
    if gpus is None:
        yield "GPUs", "nvidia-smi does not answer"
        return
    if not gpus:
        yield "GPUs", "none"
        return
    if accelerator == "cpu":
        yield "GPUs", "not used: ACCELERATOR=cuda make setup makes the environment for them"
    old = " (too old)" if accelerator == "cuda" and driver_too_old(gpus) else ""
    yield "driver", f"NVIDIA {gpus[0].driver}{old}"
    names = {gpu.uuid for gpu in visible}
    for gpu in gpus:
        hidden = "" if gpu.split or accelerator == "cpu" or gpu.uuid in names else ", hidden by CUDA_VISIBLE_DEVICES"
        yield "MIG" if gpu.of else f"GPU {gpu.name}", f"{gpu.model}, {memory_of(gpu, gpus)}{hidden}"


def memory_of(gpu: Gpu, gpus: list[Gpu]) -> str:
    """Return a GPU's memory in words; nvidia-smi knows the free memory of whole GPUs alone."""
    if gpu.split:
        return f"split by MIG into {sum(other.of == gpu.uuid for other in gpus)} instances"
    if gpu.total is None or gpu.free is None:
        return "its memory is not stated"
    return gib(gpu.total) if gpu.of else f"{gib(gpu.free)} of {gib(gpu.total)} free"


def network_rows(problems: list[str]) -> Iterator[tuple[str, str]]:
    """Yield whether the hub answers, unless it is not to be asked."""
    hub = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in TRUE:
        yield "hub", "not asked: HF_HUB_OFFLINE is set, so only what is in the cache is used"
    elif (reason := unreachable(hub)) is None:
        yield "hub", f"{hub} answers"
    else:
        yield "hub", f"{hub} does not answer ({reason}): HF_ENDPOINT names a mirror, https_proxy a way out"


def unreachable(hub: str) -> str | None:
    """Return why the hub does not answer in time; None where it does, whatever it says."""
    said = [f"not within {HUB_SECONDS} s"]

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(hub, method="HEAD"), timeout=HUB_SECONDS).close()
            said[0] = ""
        except urllib.error.HTTPError:
            said[0] = ""
        except (OSError, ValueError) as error:
            said[0] = str(getattr(error, "reason", error))

    thread = threading.Thread(target=ask, daemon=True)  # looking a name up heeds no timeout
    thread.start()
    thread.join(HUB_SECONDS)
    return said[0] or None


def choice_rows(accelerator: str, visible: list[Gpu]) -> Iterator[tuple[str, str]]:
    """Yield what `make iterate` takes for a new run when nothing else is asked for."""
    preset = machine.device_preset(accelerator)
    text = (ROOT / "conf" / "device" / f"{accelerator}.yaml").read_text(encoding="utf-8")
    presets = ", ".join(f"{group}={name}" for group, name in PRESET.findall(text))
    without = "; float32, since this processor has no AVX-512" if preset != accelerator else ""
    yield "a new run", f"device={preset}: {presets}{without}"
    if accelerator == "cpu":
        yield "workers", f"generation: 1, training: 1, one after the other, with {machine.num_cores()} threads"
    elif visible:
        yield "workers", f"generation: {len(visible)}, one per GPU; training: one, on GPU {visible[0].name}"


def size(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:  # gone meanwhile
                continue
    return total


def gib(value: int) -> str:
    return f"{value / machine.GIB:,.1f} GiB"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
