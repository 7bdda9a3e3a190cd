"""Whether a training fits, reckoned before anything is loaded."""

from store.errors import ConfigError, NotEnoughMemory
from store.machine import GIB, free_memory

# Bytes per parameter: float32 weights, gradients and AdamW's two moments; with LoRA only the weights are that many.
FULL = 4 + 4 + 8
ADAPTER = 4


def require_memory(parameters: int, full: bool, free: int, device: str) -> None:
    """NotEnoughMemory when weights, gradients and optimiser alone need more than `free` bytes."""
    needed = parameters * (FULL if full else ADAPTER)
    if needed > free:
        raise NotEnoughMemory(
            f"training {parameters:,} parameters takes at least {needed / GIB:.1f} GiB (activations come on top), "
            f"{free / GIB:.1f} GiB of {device} memory are free: use peft=lora, a smaller MODEL=, or a machine with "
            "more memory"
        )


def free_memory_of(device: str) -> int:
    """Bytes this process may still take on the device."""
    if device == "cpu":
        return free_memory()
    import torch

    if not torch.cuda.is_available():
        raise ConfigError("device=cuda was given, but torch sees no GPU: start another run with device=cpu")
    return torch.cuda.mem_get_info()[0]
