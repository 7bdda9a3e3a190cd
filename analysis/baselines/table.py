"""The file of baselines at an equal number of generated tokens: analysis.baselines writes it, the report shows it."""

import json
from typing import Any, NamedTuple

from analysis.stats.intervals import Estimate
from store.run import Run
from store.shards import read_object

BASELINES = "baselines.json"


class Baseline(NamedTuple):
    """A way to answer the test questions. accuracy: of its final answers, None where it is unavailable. words: what may
    be said of it against the run, or why it is unavailable. inference_tokens: generated per question; training_tokens:
    generated for its training rows. budget: its tokens as a share of the run's, where the two are meant to be equal."""

    name: str
    accuracy: Estimate | None
    words: str
    inference_tokens: float | None = None
    training_tokens: int | None = None
    budget: float | None = None


def read_baselines(run: Run) -> list[Baseline]:
    """Return the rows of runs/<run>/baselines.json; [] where none were measured."""
    path = run.dir / BASELINES
    return [as_baseline(row) for row in read_object(path)["rows"]] if path.exists() else []


def as_baseline(row: dict[str, Any]) -> Baseline:
    accuracy = Estimate(**row["accuracy"]) if row["accuracy"] else None
    return Baseline(**row | {"accuracy": accuracy})


def to_json(rows: list[Baseline]) -> bytes:
    """Return the content of baselines.json."""
    plain = [row._asdict() | {"accuracy": row.accuracy and row.accuracy._asdict()} for row in rows]
    return json.dumps({"rows": plain}, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"
