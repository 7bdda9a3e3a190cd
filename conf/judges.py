"""Checks of `judge`, who scores for the reward `judge`, and what of it decides a judgement."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from conf.identity import EXECUTION
from conf.schema import EndpointJudge, Message, ModelJudge
from store.errors import ConfigError

JUDGE = "judge"  # the reward that is what a judge says
PLACEHOLDER = re.compile(r"\{(question|text|golds)\}")


def check_judge(rewards: Collection[str], judge: EndpointJudge | ModelJudge | None) -> None:
    """Raise ConfigError for the reward `judge` without a judge, a judge without its reward, and one whose prompt does
    not show what is to be judged."""
    if (JUDGE in rewards) != (judge is not None):
        found, instead = (judge.kind, "none") if judge else ("none", "endpoint or judge=model")
        raise ConfigError(
            f"judge={found} with the rewards {', '.join(rewards)}: reward={JUDGE} asks a judge, and no other reward "
            f"does: give judge={instead}"
        )
    if judge is None:
        return
    shown = placeholders(judge.prompt)
    if missing := {"question", "text"} - shown:
        raise ConfigError(f"judge.prompt has no {{{min(missing)}}}: it must show {{question}} and {{text}}")
    if judge.prompt[-1].role != "user":
        raise ConfigError(f"judge.prompt ends with {judge.prompt[-1].role}: the last message must be the user's")


def placeholders(prompt: Sequence[Message]) -> set[str]:
    """Return the names of what is filled in: question, text, golds."""
    return {name for message in prompt for name in PLACEHOLDER.findall(message.content)}


def identity(judge: EndpointJudge | ModelJudge) -> dict[str, Any]:
    """Return what of its settings decides a judgement, but for the content of a model folder."""
    values: Mapping[str, Any] = judge.model_dump(mode="json")
    free = {key.removeprefix("judge.") for key in EXECUTION if key.startswith("judge.")}
    if judge.kind == "model":
        free.add("model")  # a folder is known by what is in it
    return {key: value for key, value in values.items() if key not in free}
