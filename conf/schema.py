"""The composed configuration, typed and range-checked; a typo or a wrong type stops before anything is written.

Fields named `args` are passed to a library under its own argument names (EngineArgs, SamplingParams, SFTConfig,
LoraConfig); everything else is ours. `load` is how a stage gets its run's settings.
"""

import difflib
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.errors import ConfigError
from data.run import Run

# Settings that change how fast a run goes and never what it computes: free to differ between restarts.
EXECUTION = ("launcher", "engine.throughput")


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Message(Section):
    role: Literal["system", "user", "assistant"]
    content: str


class Engine(Section):
    kind: Literal["vllm", "transformers", "fake"]
    args: dict[str, Any]
    throughput: dict[str, Any]


class Sampling(Section):
    num_initial: int = Field(ge=1, le=1000)
    num_corrections: int = Field(ge=1, le=1000)
    temperature: float = Field(ge=0, le=10)
    top_p: float = Field(gt=0, le=1)
    max_tokens: int = Field(ge=1, le=1_000_000)
    args: dict[str, Any]


class Strategy(Section):
    name: str
    initialization: Literal["evolving", "fixed"]
    filter: Literal["improving", "non_decreasing", "equal_only", "none", "random_matched"]
    fine_tuning: Literal["evolving", "fixed"]


class Eval(Section):
    num_samples: int = Field(ge=1, le=1000)
    initialization: Literal["strategy", "evolving"]


class Launcher(Section):
    kind: Literal["local"]
    workers: int = Field(ge=0, le=4096)
    shard_questions: int = Field(ge=1, le=1_000_000)
    max_restarts: int = Field(ge=0, le=1000)
    hang_seconds: int = Field(ge=1)


class Prompt(Section):
    name: str
    initial: list[Message] = Field(min_length=1)
    correction: list[Message] = Field(min_length=1)
    answer_marker: str | None


class Config(Section):
    run: str
    seed: int = Field(ge=0, lt=2**31)
    device: Literal["cpu", "cuda"]
    engine: Engine
    sampling: Sampling
    strategy: Strategy
    eval: Eval
    launcher: Launcher
    prompt: Prompt


def validate(values: dict[str, Any]) -> Config:
    """The typed configuration; ConfigError lists every wrong key with what was found and what was expected."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError("the configuration is wrong:\n  " + "\n  ".join(map(_describe, error.errors()))) from None


def _describe(error: Any) -> str:
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"{key} is not a setting{nearest(key, known_keys(Config))}"
    return f"{key}={error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"


def nearest(key: str, known: list[str]) -> str:
    """'; did you mean ...?' for the nearest known key, or nothing."""
    found = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else ""


def known_keys(section: type[BaseModel], prefix: str = "") -> list[str]:
    """Every dotted key of the schema."""
    keys = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += known_keys(field.annotation, f"{prefix}{name}.")
    return keys


def execution_file(run: Run):
    """Where the settings that may differ between restarts are kept."""
    return run.dir / "_execution.yaml"


def load(run: Run) -> Config:
    """The settings of a run, from its folder."""
    try:
        values = yaml.safe_load(run.config.read_text(encoding="utf-8"))
        values.pop("overrides")
        execution = yaml.safe_load(execution_file(run).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{error.filename} is missing: run `make iterate RUN={run.name}` first") from None
    except (yaml.YAMLError, AttributeError, KeyError) as error:
        raise ConfigError(
            f"{run.config} is not a run's configuration ({error}): restore it, or start another run"
        ) from None
    values["launcher"] = execution["launcher"]
    values["engine"] = values["engine"] | execution["engine"]
    return validate(values)
