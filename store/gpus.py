"""The GPUs of this machine, by nvidia-smi and without CUDA: which there are, which are visible, what memory they have.

A GPU that is split by MIG (Multi-Instance GPU) is not one itself; its instances are, each by the name `MIG-<uuid>`.
"""

import contextlib
import ctypes
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace

from store.errors import ConfigError

MIN_DRIVER = 580  # of CUDA 13, whose packages requirements/cuda.txt holds
MIN_CUDA = 13
ANSWER_SECONDS = 30  # nvidia-smi hangs where the driver does
FIELDS = "index,uuid,name,memory.total,memory.free,driver_version"
NEWER_FIELDS = "memory.reserved,mig.mode.current"  # drivers that are too old for CUDA 13 may not know them
INSTANCE = re.compile(r"\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[^)]+)\)")
SIZE = re.compile(r"\.(\d+)gb")
HIDE_THE_REST = ("-1", "NoDevFiles")  # entries of CUDA_VISIBLE_DEVICES after which CUDA sees no GPU


@dataclass(frozen=True)
class Gpu:
    """name: what CUDA_VISIBLE_DEVICES calls it. total, free: bytes, None where nvidia-smi does not say. split: by MIG,
    so that only its instances can be used. of: the uuid of the GPU that an instance is a part of."""

    name: str
    uuid: str = ""
    model: str = "GPU"
    total: int | None = None
    free: int | None = None
    driver: str = ""
    split: bool = False
    of: str = ""


def installed_gpus() -> list[Gpu] | None:
    """Return the GPUs and MIG instances of this machine; None where nvidia-smi does not answer."""
    lines = ask(f"--query-gpu={FIELDS},{NEWER_FIELDS}", "--format=csv,noheader,nounits")
    if lines is None:
        lines = ask(f"--query-gpu={FIELDS}", "--format=csv,noheader,nounits")
    if lines is None:
        return None
    gpus = [gpu_of(line) for line in lines if line.count(",") >= FIELDS.count(",")]
    if not any(gpu.split for gpu in gpus):
        return gpus
    parents, found = {f"(UUID: {gpu.uuid})": gpu for gpu in gpus}, list(gpus)
    parent = None
    for line in ask("--list-gpus") or []:
        if match := INSTANCE.match(line):
            assert parent, line
            size = SIZE.search(match[1])  # the profile's name has its memory: nvidia-smi does not say how much is free
            total = int(size[1]) * 2**30 if size else None
            name = f"{parent.model} MIG {match[1]}"
            found.append(replace(parent, name=match[2], uuid=match[2], model=name, total=total, free=total,
                                 split=False, of=parent.uuid))  # fmt: skip
        else:
            parent = next((gpu for uuid, gpu in parents.items() if uuid in line), None)
    return found


def gpu_of(line: str) -> Gpu:
    """Return the GPU that a line of nvidia-smi's answer describes. The driver keeps what is reserved: CUDA's total
    is without it."""
    index, uuid, model, total, free, driver, *newer = (value.strip() for value in line.split(","))
    reserved = (newer and mebibytes(newer[0])) or 0
    most = mebibytes(total)
    return Gpu(index, uuid, model, most and most - reserved, mebibytes(free), driver, split="Enabled" in newer)


def mebibytes(value: str) -> int | None:
    """Return the bytes of nvidia-smi's number; None for its "[N/A]", as of GPUs that share the machine's memory."""
    return int(value) * 2**20 if value.isdecimal() else None


def ask(*arguments: str) -> list[str] | None:
    """Return the lines of nvidia-smi's answer; None where there is none."""
    try:
        done = subprocess.run(
            ["nvidia-smi", *arguments], capture_output=True, text=True, check=True, timeout=ANSWER_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.splitlines()


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[Gpu]:
    """Return the GPUs that this process may use, in CUDA's order; ConfigError where CUDA_VISIBLE_DEVICES names what is
    not there. Without nvidia-smi, as in some containers, its names are taken as they are."""
    gpus, given = installed_gpus(), environment.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        if gpus is None:
            raise ConfigError(
                "device=cuda but nvidia-smi does not answer: is NVIDIA's driver installed, and this machine or "
                "container given a GPU? ACCELERATOR=cpu does without one"
            )
        return [gpu for gpu in gpus if not gpu.split]
    entries = [entry.strip() for entry in given.split(",") if entry.strip()]
    for place, entry in enumerate(entries):
        if entry in HIDE_THE_REST:
            entries = entries[:place]
            break
    if gpus is None:
        return [Gpu(entry) for entry in entries]
    visible = [named(entry, gpus, given) for entry in entries]
    if len(set(visible)) < len(visible):
        raise ConfigError(f"CUDA_VISIBLE_DEVICES={given} names a GPU twice: name each once")
    return visible


def named(entry: str, gpus: list[Gpu], given: str) -> Gpu:
    """Return the GPU that an entry of CUDA_VISIBLE_DEVICES names: an index, or the beginning of one uuid."""
    by_uuid = entry.startswith(("GPU-", "MIG-"))
    found = [gpu for gpu in gpus if (gpu.uuid.startswith(entry) if by_uuid else gpu.name == entry)]
    usable = ", ".join(gpu.name for gpu in gpus if not gpu.split) or "none"
    if len(found) != 1:
        raise ConfigError(f"CUDA_VISIBLE_DEVICES={given}: {entry} is not one GPU of this machine; there are: {usable}")
    if found[0].split:
        raise ConfigError(f"CUDA_VISIBLE_DEVICES={given}: GPU {entry} is split by MIG; name its instances: {usable}")
    return replace(found[0], name=entry)


def driver_too_old(gpus: list[Gpu] | None) -> str | None:
    """Return the driver's version where it is too old for the CUDA packages of the lock and no cuda-compat stands in
    for it; None where it will do, or where there is none to ask."""
    driver = gpus[0].driver if gpus else ""
    major = driver.partition(".")[0]
    if not major.isdecimal() or int(major) >= MIN_DRIVER or loaded_cuda() >= MIN_CUDA:
        return None
    return driver


def loaded_cuda() -> int:
    """Return the major version of CUDA that libcuda.so.1 stands for, as the loader finds it; 0 without one."""
    version = ctypes.c_int(0)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    return version.value // 1000
