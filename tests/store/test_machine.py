import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from store.errors import CorruptArtifact
from store.machine import (
    PRIMITIVES,
    TCMALLOC,
    allocator,
    device_preset,
    engine_memory,
    free_memory,
    is_noexec,
    model_tensors,
    multiplies_bfloat16,
    num_cores,
)
from store.tensors import read_tensors

GIB = 2**30
NO_LIMIT = 9223372036854771712  # as version 1 says it


def machine(root: Path, cgroup: str, groups: dict[str, dict[str, str]]) -> Path:
    """A root folder with 8 GiB available; groups: {folder below /sys/fs/cgroup: {file: content}}."""
    files = {"proc/meminfo": f"MemTotal: {16 << 20} kB\nMemAvailable: {8 << 20} kB\n", "proc/self/cgroup": cgroup}
    for folder, contents in groups.items():
        files |= {f"sys/fs/cgroup/{folder}/{name}": content for name, content in contents.items()}
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def version_2(limit: int | str, used: int) -> dict[str, str]:
    stat = f"anon {used}\nactive_file {GIB}\ninactive_file {GIB // 2}\n"
    return {"memory.max": f"{limit}\n", "memory.current": f"{used}\n", "memory.stat": stat}


def version_1(limit: int, used: int) -> dict[str, str]:
    stat = f"active_file 5\ninactive_file 5\ntotal_active_file {GIB}\ntotal_inactive_file 0\n"
    return {"memory.limit_in_bytes": f"{limit}\n", "memory.usage_in_bytes": f"{used}\n", "memory.stat": stat}


@pytest.mark.parametrize(
    ("cgroup", "groups", "gib"),
    [
        ("", {}, 8),
        ("0::/\n", {}, 8),  # the root group of a machine has no limit
        ("0::/\n", {"": version_2(4 * GIB, 3 * GIB)}, 2.5),  # a container that sees its own group as root
        ("0::/job/step\n", {"job/step": version_2("max", GIB), "job": version_2(6 * GIB, 5 * GIB)}, 2.5),
        ("0::/host/path\n", {"": version_2(6 * GIB, GIB)}, 6.5),
        ("4:cpu,memory:/job\n0::/\n", {"memory/job": version_1(4 * GIB, 2 * GIB), "memory": version_1(NO_LIMIT, 9)}, 3),
        ("4:memory:/job\n3:cpuset:/\n", {"memory/job": version_1(NO_LIMIT, 3 * GIB)}, 8),
    ],
)
def test_free_memory_is_the_least_that_machine_and_control_groups_leave(tmp_path, cgroup, groups, gib):
    assert free_memory(machine(tmp_path, cgroup, groups)) == gib * GIB


def test_free_memory_of_this_machine_is_some_of_it():
    assert 0 < free_memory() < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("cgroup", "groups", "cores"),
    [
        ("0::/\n", {}, 64),
        ("0::/\n", {"": {"cpu.max": "max 100000\n"}}, 64),
        ("0::/\n", {"": {"cpu.max": "50000 100000\n"}}, 1),  # half a core
        ("0::/\n", {"": {"cpu.max": "450000 100000\n"}}, 4),
        ("0::/\n", {"": {"cpu.max": "9900000 100000\n"}}, 64),
        ("0::/job/step\n", {"job/step": {"cpu.max": "max 100000\n"}, "job": {"cpu.max": "200000 100000\n"}}, 2),
        ("3:cpu,cpuacct:/job\n", {"cpu/job": {"cpu.cfs_quota_us": "300000\n", "cpu.cfs_period_us": "100000\n"}}, 3),
        ("3:cpu,cpuacct:/job\n", {"cpu/job": {"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}}, 64),
    ],
)
def test_cores_are_the_fewest_of_affinity_and_quotas(tmp_path, monkeypatch, cgroup, groups, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    assert num_cores(machine(tmp_path, cgroup, groups)) == cores


@pytest.mark.parametrize(
    ("cpuinfo", "preset"),
    [
        ("processor\t: 0\nflags\t\t: fpu fma avx avx2\n\nprocessor\t: 1\nflags\t\t: fpu fma avx avx2\n", "cpu_avx2"),
        ("processor\t: 0\nflags\t\t: fpu fma avx avx2 avx512f avx512_bf16\n", "cpu"),
        ("processor\t: 0\nBogoMIPS\t: 50.0\nFeatures\t: fp asimd bf16\n", "cpu"),  # of another architecture
        (None, "cpu"),  # macOS has no /proc
    ],
)
def test_a_new_run_is_in_float32_where_bfloat16_is_slow(tmp_path, cpuinfo, preset):
    if cpuinfo is not None:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc" / "cpuinfo").write_text(cpuinfo)
    assert multiplies_bfloat16(tmp_path) == (preset == "cpu")
    assert device_preset("cpu", tmp_path) == preset
    assert device_preset("cuda", tmp_path) == "cuda"


def test_a_mount_that_loads_no_programs_is_seen(tmp_path, monkeypatch):
    assert not is_noexec(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=os.ST_NOSUID | os.ST_NOEXEC))
    assert is_noexec(tmp_path)


def write_tensors(path: Path, tensors: dict[str, tuple[str, list[int], int]], missing: int = 0) -> None:
    """A sparse safetensors file of {name: (dtype, shape, bytes)}, some bytes short."""
    header, end = {}, 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    content = json.dumps(header).encode()
    path.write_bytes(len(content).to_bytes(8, "little") + content)
    os.truncate(path, 8 + len(content) + end - missing)


def test_parameters_are_counted_from_the_headers_of_a_model_of_any_size(tmp_path):
    write_tensors(tmp_path / "a.safetensors", {"w": ("BF16", [400_000, 1_000_000], 800_000_000_000)})
    write_tensors(tmp_path / "b.safetensors", {"b": ("F32", [], 4), "v": ("I64", [7, 3], 168)})
    assert sum(tensor.size for tensor in model_tensors(tmp_path)) == 400_000_000_000 + 1 + 21


@pytest.mark.parametrize(
    ("tensors", "missing", "said"),
    [
        ({"w": ("F32", [4], 16)}, 1, "its header means"),
        ({"w": ("F32", [4], 12)}, 0, "does not lie where its header says"),
        ({"w": ("F33", [4], 16)}, 0, "not known here"),
        ({"w": ("F32", [-4, -1], 16)}, 0, "a place or shape that is none"),
        ({}, 8, "too few"),
    ],
)
def test_a_header_that_does_not_describe_its_file_is_refused_by_name(tmp_path, tensors, missing, said):
    write_tensors(tmp_path / "model.safetensors", tensors, missing)
    with pytest.raises(CorruptArtifact, match=said) as refusal:
        read_tensors(tmp_path / "model.safetensors")
    assert "model.safetensors" in str(refusal.value)


def test_a_worker_gets_what_keeps_memory_flat(tmp_path, monkeypatch):
    for name in ("LD_PRELOAD", *(name for name in os.environ if name.startswith("MALLOC_"))):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", raising=False)
    assert allocator(tmp_path).keys() == {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}
    library = tmp_path / "usr" / "lib" / "x86_64-linux-gnu" / TCMALLOC
    library.parent.mkdir(parents=True)
    library.touch()
    assert allocator(tmp_path) == {"LD_PRELOAD": str(library)}
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")  # the user's own
    assert allocator(tmp_path) == {}
    assert engine_memory(tmp_path) == PRIMITIVES
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "200")
    assert engine_memory(tmp_path) == {}
