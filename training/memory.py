"""Whether a training fits, reckoned before anything is loaded."""

from math import prod
from pathlib import Path

from safetensors import safe_open

from data.errors import ConfigError, NotEnoughMemory

# Bytes per parameter: float32 weights, gradients and AdamW's two moments; with LoRA only the weights are that many.
FULL = 4 + 4 + 8
ADAPTER = 4


def num_parameters(folder: Path) -> int:
    """Parameters of a model folder, from the headers of its safetensors files."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="np") as file:
            total += sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    return total


def require_memory(parameters: int, full: bool, free: int, device: str) -> None:
    """NotEnoughMemory when weights, gradients and optimiser alone need more than `free` bytes."""
    needed = parameters * (FULL if full else ADAPTER)
    if needed > free:
        raise NotEnoughMemory(
            f"training {parameters:,} parameters takes at least {needed / 2**30:.1f} GiB (activations come on top), "
            f"{free / 2**30:.1f} GiB of {device} memory are free: use peft=lora, a smaller MODEL=, or a machine with "
            "more memory"
        )


def free_memory(device: str) -> int:
    """Bytes this process may still take on the device: of the GPU, or of the machine and its control group."""
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise ConfigError("device=cuda was given, but torch sees no GPU: start another run with device=cpu")
        return torch.cuda.mem_get_info()[0]
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    group = Path("/sys/fs/cgroup")
    limit = (group / "memory.max").read_text().strip() if (group / "memory.max").exists() else "max"
    if limit == "max":
        return free
    return min(free, int(limit) - int((group / "memory.current").read_text()))
