"""Facts about this machine that cost milliseconds: memory, cores, compilers, libraries. store/gpus.py has the GPUs.

Everything here runs on the standard library alone, so that set-up can look before anything is installed.
"""

import ctypes
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from store.tensors import Tensor, read_tensors, weight_files

GIB = 2**30
# Control groups of both versions: the controller's name in /proc/self/cgroup; the folder below /sys/fs/cgroup, the
# files with limit and usage, and what the names of cached files in memory.stat begin with.
MEMORY_FILES = {
    "": ("", "memory.max", "memory.current", ""),
    "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
}
# The same for time: the files with the quota and, in version 1, with the period; version 2 has both in one.
CPU_FILES = {"": ("", "cpu.max", ""), "cpu": ("cpu", "cpu.cfs_quota_us", "cpu.cfs_period_us")}

TCMALLOC = "libtcmalloc_minimal.so.4"
# oneDNN keeps what it made for each size of batch it has met, 0.7 MB, 1,024 of them unless it is told otherwise; vLLM
# itself keeps the latest 32 of each layer.
PRIMITIVES = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16"}


def model_tensors(folder: Path) -> Iterator[Tensor]:
    """Yield the tensors of a model folder, from the headers of its safetensors files."""
    for path in weight_files(folder):
        yield from read_tensors(path).values()


def engine_memory(root: Path = Path("/")) -> dict[str, str]:
    """Return the environment in which an engine's memory grows least: few primitives kept by oneDNN, and `allocator`'s.
    What the user has set stays. root: where usr is."""
    return {name: value for name, value in PRIMITIVES.items() if name not in os.environ} | allocator(root)


def allocator(root: Path = Path("/")) -> dict[str, str]:
    """Return the environment in which a heap grows least: tcmalloc preloaded where the system has it; else glibc gives
    blocks of a megabyte and more back at once. What the user has preloaded or tuned stays. root: where usr is."""
    if "LD_PRELOAD" in os.environ or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return {}
    if library := tcmalloc(root):
        return {"LD_PRELOAD": str(library)}
    return {"MALLOC_MMAP_THRESHOLD_": str(2**20), "MALLOC_TRIM_THRESHOLD_": str(2**20)}


def tcmalloc(root: Path = Path("/")) -> Path | None:
    """Return the system's tcmalloc, None where it has none."""
    folders = (*(root / "usr" / "lib").glob("*-linux-gnu"), root / "usr" / "lib64", root / "usr" / "lib")
    return next((folder / TCMALLOC for folder in folders if (folder / TCMALLOC).exists()), None)


def free_memory(root: Path = Path("/")) -> int:
    """Return the bytes a process may still take: what the machine has available, and no more than any control group
    around this process leaves. root: where proc and sys are."""
    lines = (root / "proc" / "meminfo").read_text(encoding="ascii").splitlines()
    available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    return min([available, *cgroup_headroom(root)])


def cgroup_headroom(root: Path) -> Iterator[int]:
    """Yield the bytes that each control group of this process, and each around it, leaves below its limit. Cached
    files count as free: the kernel gives them up."""
    for group, (_, limit, usage, prefix) in control_groups(root, MEMORY_FILES):
        if (most := (group / limit).read_text().strip()) != "max":
            fields = dict(row.split() for row in (group / "memory.stat").read_text().splitlines())
            cached = sum(int(fields[f"{prefix}{kind}_file"]) for kind in ("active", "inactive"))
            yield int(most) - int((group / usage).read_text()) + cached


def control_groups(root: Path, files: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Yield the folder of each control group of this process, and of each around it, that has the limit, with what
    `files` says of its version."""
    for line in (root / "proc" / "self" / "cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        for name in files.keys() & set(controllers.split(",")):
            folder, limit, *_ = files[name]
            top = root / "sys" / "fs" / "cgroup" / folder
            own = top / path.lstrip("/")
            for group in (own, *own.parents):
                if group.is_relative_to(top) and (group / limit).exists():
                    yield group, files[name]


def num_cores(root: Path = Path("/")) -> int:
    """Return how many cores' worth of time this process gets: those it may run on, or fewer by a control group's
    quota; at least one."""
    return max(1, min([len(os.sched_getaffinity(0)), *cpu_quotas(root)]))


def cpu_quotas(root: Path) -> Iterator[int]:
    """Yield the whole cores that each control group of this process, and each around it, allows."""
    for group, (_, limit, period) in control_groups(root, CPU_FILES):
        quota, *rest = (group / limit).read_text().split()
        if quota not in ("max", "-1"):
            yield int(quota) // int(rest[0] if rest else (group / period).read_text())


def multiplies_bfloat16(root: Path = Path("/")) -> bool:
    """Return whether bfloat16 is no slower than float32 on this processor: False for x86-64 without AVX-512, where a
    product in float32 takes an eighth of the time. root: where proc is."""
    cpuinfo = root / "proc" / "cpuinfo"
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []  # Linux's alone
    flags = next((line.split() for line in lines if line.startswith("flags")), ["avx512f"])  # of x86-64 alone
    return "avx512f" in flags


def device_preset(accelerator: str, root: Path = Path("/")) -> str:
    """Return the preset of conf/device that a new run takes on this machine. accelerator: cpu or cuda."""
    return "cpu_avx2" if accelerator == "cpu" and not multiplies_bfloat16(root) else accelerator


def c_compiler() -> str | None:
    """Return the program with which Triton compiles, as it looks for it."""
    return os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")


def cxx_compiler() -> str | None:
    """Return the program with which PyTorch compiles for the CPU, as it looks for it."""
    return shutil.which(os.environ.get("CXX") or "g++")


def python_header() -> Path | None:
    """Return the path of Python.h for this interpreter, where both compile against it; None where it is missing."""
    scheme = sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")  # Debian's, which holds no headers
    header = Path(sysconfig.get_path("include", scheme)) / "Python.h"
    return header if header.exists() else None


def glibc() -> tuple[int, ...]:
    """Return the version of the C library; () where it is another one."""
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
    except (ValueError, OSError):
        return ()
    return tuple(map(int, version.split("."))) if name == "glibc" else ()


def has_library(name: str) -> bool:
    """Return whether the system's loader finds a shared library."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def free_disk(folder: Path) -> int:
    """Return the bytes that are free where `folder` is, or will be."""
    return shutil.disk_usage(next(part for part in (folder, *folder.absolute().parents) if part.is_dir())).free


def build_folder() -> Path:
    """Return the folder in which PyTorch compiles: programs are loaded from it."""
    return Path(os.environ.get("TORCHINDUCTOR_CACHE_DIR") or tempfile.gettempdir())


def is_noexec(folder: Path) -> bool:
    """Return whether the file system of an existing folder lets no program be loaded from it."""
    return bool(os.statvfs(folder).f_flag & os.ST_NOEXEC)


if __name__ == "__main__":  # python -m store.machine cpu
    print(device_preset(sys.argv[1]))
