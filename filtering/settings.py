"""Everything that decides what is kept, and as what: plain values, of which the stage's fingerprint is made."""

from dataclasses import dataclass

from filtering.filters import Options


@dataclass(frozen=True)
class Scoring:
    """rewards: all that are computed, `chosen` among them; a chosen reward of at least `threshold` (t) is correct.
    expects_marker: the prompt asks for a marked final answer."""

    rewards: list[str]
    chosen: str
    threshold: float
    expects_marker: bool


@dataclass(frozen=True)
class Settings:
    """filter: a name of FILTERS. compat: the switches that are on, already applied to the other fields.
    training_prompt: messages that corrections are trained to instead of their own."""

    seed: int
    filter: str
    trains_on: str
    options: Options
    scoring: Scoring
    compat: list[str]
    training_prompt: list[dict[str, str]] | None = None
