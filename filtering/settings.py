"""Everything that decides what is kept, and as what: plain values, of which the stage's fingerprint is made."""

from dataclasses import asdict, dataclass
from typing import Any

from filtering.filters import Options
from filtering.rewards.own import Function


@dataclass(frozen=True)
class Scoring:
    """rewards: all that are computed, `chosen` among them; a chosen reward of at least `threshold` (t) is correct.
    expects_marker: the prompt asks for a marked final answer. verdict: the words {keep, replace} that corrections begin
    with, None where they do not. function: of the reward `python`. weights: of the parts of
    `weighted`. judge: what decides the judgements of the reward `judge`, but for the content of a model."""

    rewards: list[str]
    chosen: str
    threshold: float
    expects_marker: bool
    verdict: dict[str, str] | None = None
    function: Function | None = None
    weights: dict[str, float] | None = None
    judge: dict[str, Any] | None = None


@dataclass(frozen=True)
class Settings:
    """filter: a name of FILTERS. compat: the switches that are on, already applied to the other fields.
    training_prompt: messages that corrections are trained to instead of their own. num_answers: how many initial
    answers a correction reads, None for its own alone, which then tells its prompt."""

    seed: int
    filter: str
    trains_on: str
    options: Options
    scoring: Scoring
    compat: list[str]
    training_prompt: list[dict[str, str]] | None = None
    num_answers: int | None = None

    @property
    def is_mixed(self) -> bool:
        """Whether rows may be trained that are no kept corrections."""
        return self.options.siblings is not None or self.options.first_turns is not None

    def identity(self) -> dict[str, Any]:
        """Return the settings for the stage's fingerprint, without those that earlier versions lacked where they have
        no effect."""
        values = asdict(self)
        if self.scoring.function:
            values["scoring"]["function"] = self.scoring.function.identity
        for section in (values, values["options"], values["scoring"]):
            for name in ADDED & section.keys():
                if section[name] is None:
                    del section[name]
        return values


ADDED = {"siblings", "first_turns", "verdict", "num_answers", "function", "weights", "judge"}
