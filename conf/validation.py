"""Composed settings become a typed Config, or one message that lists all that is wrong, before anything is written."""

import difflib
import math
import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from conf.judges import check_judge
from conf.question_files import check_columns, check_origins, check_splits
from conf.recipes import check_recipe
from conf.reward_file import check_reward, check_tests
from conf.schema import FILTERS_BY_TARGET, Config, Model, Strategy
from store.errors import ConfigError
from store.fingerprint import flatten


def validate(values: dict[str, Any]) -> Config:
    """Return the typed configuration; ConfigError lists every wrong key with what was found and what was expected."""
    for key, value in flatten(values).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{key}={value}: a finite number was expected")
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError("the configuration is wrong:\n  " + "\n  ".join(map(_describe, error.errors()))) from None
    if config.eval.greedy and config.eval.num_samples > 1:
        raise ConfigError(
            f"eval.greedy gives one answer, eval.num_samples={config.eval.num_samples}: set one of them otherwise"
        )
    check_pinned(config.model)
    check_strategy(config.strategy)
    check_recipe(config)
    check_columns(config.data.columns.model_dump(), {"reward": config.reward.columns, "prompt": config.prompt.columns})
    if config.prompt.columns and config.compat.separate_training_prompt:
        raise ConfigError("prompt.columns does not go with compat.separate_training_prompt, whose prompt has none")
    check_reward(config.reward.computed, config.reward.function, config.reward.weights)
    check_judge(config.reward.computed, config.judge)
    check_tests(config.reward.computed, config.data.columns.more)
    data = config.data.model_dump()
    check_splits(data["splits"], data["files"])
    for name, origins in data["files"].items():
        check_origins(name, origins, config.data.allow_unpinned, by_hub=data["hub"] is not None)
    return config


def check_strategy(strategy: Strategy) -> None:
    """Raise ConfigError for a filter that says nothing about what is trained."""
    if strategy.filter not in FILTERS_BY_TARGET[strategy.trains_on]:
        raise ConfigError(
            f"strategy.filter={strategy.filter} does not fit strategy.trains_on={strategy.trains_on}, which takes "
            f"{' or '.join(FILTERS_BY_TARGET[strategy.trains_on])}"
        )


def check_pinned(model: Model) -> None:
    """Raise ConfigError for a hub model without its revision: another day it may be another model."""
    if model.path is None and model.hub is not None and model.hub.revision is None:
        raise ConfigError(
            f"model={model.name} names no revision of {model.hub.repo}: give the commit that its page on the hub shows "
            "under Files, model.hub.revision=<commit>, or a downloaded folder, model.path=<folder>"
        )


def _describe(error: Any) -> str:
    section, *rest = error["loc"]
    key = ".".join(map(str, [section, *(rest[1:] if section == "judge" else rest)]))  # not which kind of judge it is
    if error["type"] == "extra_forbidden":
        return f"{key} is not a setting{nearest(key, known_keys(Config))}"
    advice = grid_advice(key, error["input"]) if isinstance(error["input"], str) else ""
    return f"{key}={error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}{advice}"


def grid_advice(key: str, value: str) -> str:
    """Return the end of a message about a value that is several, as a grid has them; nothing for another value."""
    if not re.fullmatch(r"[\w.+-]+(,[\w.+-]+)+", value):
        return ""
    return f"; `.venv/bin/python sweep.py --multirun name=grid {key}={value}` makes a run for each value"


def nearest(key: str, known: list[str]) -> str:
    """'; did you mean ...?' for the nearest known key, or nothing."""
    found = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else ""


def known_keys(section: type[BaseModel], prefix: str = "") -> list[str]:
    """Every dotted key of the schema."""
    keys = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        for part in sections_in(field.annotation):
            keys += known_keys(part, f"{prefix}{name}.")
    return keys


def sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the section that a setting is, or those that it may be."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, Annotated):
        for part in get_args(annotation):
            yield from sections_in(part)
