"""The processes that train together, by the environment: what started them, and which GPUs they have."""

import os

from store.errors import ConfigError
from store.gpus import visible_gpus

LAUNCHED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # beside WORLD_SIZE, by torchrun and accelerate launch
ALONE = "to train in one process, `unset WORLD_SIZE` and run the same command again"


def require_processes(world_size: int, device: str) -> str:
    """Return a line that says whom this process waits for, empty where it trains alone. Raise ConfigError where
    nobody started the others, or where there are fewer GPUs than processes of this machine."""
    missing = [name for name in LAUNCHED if name not in os.environ]
    if world_size > 1 and missing:
        raise ConfigError(
            f"WORLD_SIZE={world_size} is in the environment and {', '.join(missing)} is not, so nothing started the "
            f"{world_size} processes that training would wait for: {ALONE}; to train in {world_size}, "
            f"`make iterate ACCELERATE=ddp PROCESSES={world_size}`"
        )
    if device == "cuda":
        share_gpus()
    if world_size == 1:
        return ""
    place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    return f"waiting for {world_size} processes to meet at {place}; {ALONE}"


def share_gpus() -> None:
    """Give a process that trains alone the first visible GPU; ConfigError where processes have none each."""
    gpus, processes = visible_gpus(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if len(gpus) < processes:
        raise ConfigError(
            f"training has {processes} processes, one per GPU, and {len(gpus)} GPUs are visible: lower PROCESSES, or "
            "make more visible with CUDA_VISIBLE_DEVICES"
        )
    if "RANK" not in os.environ:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[0].name
