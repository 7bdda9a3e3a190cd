"""Baselines at an equal number of generated tokens, as the stage that measures them leaves them."""

from typing import Any, NamedTuple

from analysis.statistics import Estimate
from data.run import Run
from data.shards import read_object

BASELINES = "baselines.json"


class Baseline(NamedTuple):
    """accuracy: of its final answers on test. num_tokens: generated for them. words: what may be said of it against
    the run."""

    name: str
    accuracy: Estimate
    num_tokens: int
    words: str


def read_baselines(run: Run) -> list[Baseline]:
    """The rows of runs/<run>/baselines.json; [] where none were measured.

    {"rows": [{"name", "accuracy": {"value", "low", "high", "num_questions"}, "num_tokens", "words"}, ...]}
    """
    path = run.dir / BASELINES
    return [as_baseline(row) for row in read_object(path)["rows"]] if path.exists() else []


def as_baseline(row: dict[str, Any]) -> Baseline:
    return Baseline(row["name"], Estimate(**row["accuracy"]), row["num_tokens"], row["words"])
