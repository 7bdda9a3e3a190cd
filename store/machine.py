"""How large a model is and how much memory is free, before anything is loaded."""

from collections.abc import Iterator
from pathlib import Path

from store.tensors import Tensor, read_tensors

GIB = 2**30
# Control groups of both versions: the controller's name in /proc/self/cgroup, the folder below /sys/fs/cgroup, the
# files with limit and usage, and what the names of cached files in memory.stat begin with.
CONTROL_GROUPS = {
    "": ("", "memory.max", "memory.current", ""),
    "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
}


def model_tensors(folder: Path) -> Iterator[Tensor]:
    """Yield the tensors of a model folder, from the headers of its safetensors files."""
    for path in sorted(folder.glob("*.safetensors")):
        yield from read_tensors(path).values()


def num_parameters(folder: Path) -> int:
    """Parameters of a model folder."""
    return sum(tensor.size for tensor in model_tensors(folder))


def free_memory(root: Path = Path("/")) -> int:
    """Bytes a process may still take: what the machine has available, and no more than any control group around this
    process leaves. root: where proc and sys are."""
    lines = (root / "proc" / "meminfo").read_text(encoding="ascii").splitlines()
    available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    return min([available, *rooms(root)])


def rooms(root: Path) -> Iterator[int]:
    """Bytes that each control group of this process, and each around it, leaves below its limit. Cached files count as
    room: the kernel gives them up."""
    for line in (root / "proc" / "self" / "cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        for name in CONTROL_GROUPS.keys() & set(controllers.split(",")):
            folder, limit, usage, prefix = CONTROL_GROUPS[name]
            top = root / "sys" / "fs" / "cgroup" / folder
            own = top / path.lstrip("/")
            for group in (own, *own.parents):
                if not group.is_relative_to(top) or not (group / limit).exists():
                    continue
                if (most := (group / limit).read_text().strip()) != "max":
                    fields = dict(row.split() for row in (group / "memory.stat").read_text().splitlines())
                    cached = sum(int(fields[f"{prefix}{kind}_file"]) for kind in ("active", "inactive"))
                    yield int(most) - int((group / usage).read_text()) + cached
