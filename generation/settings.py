"""What a worker samples with: plain values, and the sections of a run's settings that its parts take."""

from dataclasses import dataclass
from typing import Any

from conf.schema import Engine, Prompt, Sampling


@dataclass(frozen=True)
class Settings:
    """seed: the run's, from which every sample's is made. greedy_eval: held-out questions are answered without
    sampling. template_args: of the chat template. device: cpu or cuda."""

    seed: int
    prompt: Prompt
    sampling: Sampling
    greedy_eval: bool
    template_args: dict[str, Any]
    engine: Engine
    device: str
