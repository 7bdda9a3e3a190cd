"""A few questions whose answers and corrections are hand-made, and what the stage writes of them."""

from filtering.filters import Options
from filtering.settings import Scoring, Settings
from filtering.source import Source
from store.schemas import SFT, trajectories
from store.shards import iter_shards, read_manifest

SETTINGS = Settings(
    seed=0,
    filter="non_decreasing",
    trains_on="corrections",
    options=Options(),
    scoring=Scoring(["in_accuracy_final", "token_f1"], "in_accuracy_final", 0.5, expects_marker=False),
    compat=[],
)
NUM_CORRECTIONS = {"train": 2, "validation": 1, "test": 1}

TRAIN = [
    ("q0", "capital of france", ["Paris"], [("Rome", ["Paris", "Rome"]), ("Paris", ["Paris", "not Paris"])]),
    ("q1", "capital of france, paris or rome", ["Paris"], [("Paris", ["Rome", ""]), ("Bonn", ["Paris...", "Bonn"])]),
    ("q2", "best grade", ["A+", "one"], [("A+", ["one", "one"]), ("two", ["six, ten, one", "*"])]),
]
# Only the correction of the other initial answer is right: nothing improves.
HELD_OUT = [("t0", "capital of italy", ["Rome"], [("Bonn", ["Bonn"]), ("Rome", ["Rome"])])]


def source(run) -> Source:
    return Source(run, 0, NUM_CORRECTIONS)


def rows(run, settings=SETTINGS, split="train") -> list[dict]:
    folder = run.iteration(0).trajectories
    manifest = read_manifest(folder)
    schema = trajectories(settings.scoring.rewards)
    return [row for _, table in iter_shards(folder, manifest, split, schema) for row in table.to_pylist()]


def sft_rows(run) -> list[dict]:
    folder = run.iteration(0).sft
    return [row for _, table in iter_shards(folder, read_manifest(folder), "train", SFT) for row in table.to_pylist()]


def files(run) -> dict[str, bytes]:
    paths = [path for path in run.iteration(0).dir.rglob("*") if path.is_file()]
    return {str(path.relative_to(run.dir)): path.read_bytes() for path in paths}
