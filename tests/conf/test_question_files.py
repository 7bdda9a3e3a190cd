"""Settings of question files that cannot be right are refused before a run starts."""

import contextlib

import pytest

from conf.question_files import check_origins, check_splits
from store.errors import ConfigError

HUB = {"repo": "someone/questions", "path": "dev.jsonl", "revision": "0" * 40}


def origins(**given: object) -> dict:
    return {"path": None, "hub": None, "wheel": None} | given


def described(**intervals: list[float]) -> dict:
    splits = {split: {"file": "pool", "interval": interval} for split, interval in intervals.items()}
    return {"splits": splits, "files": {"pool": {}}}


@pytest.mark.parametrize(
    "wrong, message",
    [
        (described(train=[0.4, 1], validation=[0.25, 0.5], test=[0, 0.25]), "overlap in file pool"),
        (described(train=[0.5, 0.5], validation=[0.25, 0.5], test=[0, 0.25]), "not an interval"),
        (described(train=[0.5, 1.5], validation=[0.25, 0.5], test=[0, 0.25]), "not an interval"),
        (described(train=[0.5, float("nan")], validation=[0.25, 0.5], test=[0, 0.25]), "not an interval"),
        (described(train=[0.5, 1], validation=[0.25, 0.5], test=[0, 0.25]) | {"files": {"dev": {}}}, "gives dev"),
        (described(train=[0.5, 1], validation=[0.2, 0.5], test=[0, 0.2]) | {"files": {"pool": {}, "dev": {}}}, "dev"),
    ],
)
def test_splits_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        check_splits(wrong["splits"], wrong["files"])


@pytest.mark.parametrize(
    "given, allow_unpinned, usable",
    [
        (origins(), True, False),
        (origins(hub=HUB), False, True),
        (origins(hub=HUB | {"revision": None}), False, False),
        (origins(hub=HUB | {"revision": None}), True, True),
        (origins(hub=HUB | {"revision": None}, wheel={"member": "x"}), False, True),
        (origins(path="x.jsonl"), False, True),
    ],
)
def test_a_file_without_a_pinned_origin_is_refused_before_a_run_begins(given, allow_unpinned, usable):
    expected = contextlib.nullcontext() if usable else pytest.raises(ConfigError, match="no pinned origin")
    with expected:
        check_origins("dev", given, allow_unpinned)
