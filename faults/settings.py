"""Every setting of a finished run is changed; nothing that was made with the old one may be used.

The command that composes the configuration must refuse the change (3); so must the stages, were it to get past that.
A setting that no stage refuses must decide nothing: a run made with it from the start has the same files.
"""

import copy
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from conf.__main__ import write
from conf.identity import EXECUTION
from conf.schema import Filter, Prompt
from conf.stored import load
from conf.validation import validate
from faults.stages import RUN, Bench, Stage, Tree, tree
from faults.tally import PROMISED, SILENT, STOPPED, Tally
from store.errors import ConfigError
from store.machine import num_cores
from store.run import Run
from store.schemas import SPLITS

ORIGINS = (
    {"repo": "a/b", "revision": None},
    {"repo": "a/b", "revision": None, "path": "c.jsonl"},
    {"member": "c.jsonl", "format": "jsonl", "sha256": "0"},
    {"kinds": ["compare"], "difficulty": 1, "questions": 10, "seed": 0},
)
WORDS = ("cuda", "vllm", "transformers", "evolving", "fixed", "improving", "strategy", "lora", "keep_model", "stop",
         "user", "assistant", "in_accuracy", "gold_answers", "all", "both", "siblings", "float32",
         "0" * 40)  # fmt: skip
# Of recipes: not among a run's settings where they have these values.
SECTIONS = {"prompt": Prompt, "filter": Filter}
ADDED = {f"{name}.{key}": of.model_fields[key].default for name, of in SECTIONS.items() for key in of.added}
# Only for the composing command. Questions and M_0 are known by their content, and these say where it comes from; and
# there may be no GPU here.
COMPOSED = ("run", "model.", "data.files.questions.path", "device")
# The run has one file of questions, and there is no other run.
NO_OTHER = [*(f"data.splits.{split}.file" for split in SPLITS), "samples_of", "data.pass_rate", "prompt.num_answers",
            "prompt.columns"]  # fmt: skip
CONFIG = f"runs/{RUN}/config.yaml"

Values = dict[str, Any]


def leaves(values: Values, prefix: str = "") -> Iterator[str]:
    """Yield the dotted key of every setting; a list is one."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def changed(values: Values, key: str) -> Values:
    """Return the settings with another valid value for `key`."""
    *parents, leaf = key.split(".")
    for candidate in candidates(read(values, key)):
        other = copy.deepcopy(values)
        section = other
        for parent in parents:
            section = section[parent]
        section[leaf] = candidate
        try:
            validate(other)
        except ConfigError:
            continue
        return other
    raise AssertionError(f"{key}={read(values, key)!r}: no other valid value is known")


def read(values: Values, key: str) -> Any:
    if key in ADDED:
        return ADDED[key]
    for part in key.split("."):
        values = values[part]
    return values


def candidates(value: Any) -> Iterator[Any]:
    """Other values, of which one should be valid."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value / 2, value + 0.1, value - 0.1, value - 1)
    elif isinstance(value, str):
        yield from (word for word in (f"{value}x", *WORDS) if word != value)
    elif isinstance(value, list):
        yield from (value[:-1], [*value, *value[-1:]], [*value, "x"])
        if value and isinstance(value[-1], float):
            yield [*value[:-1], value[-1] - 0.05]
        if value and isinstance(value[-1], dict):
            yield [*value[:-1], value[-1] | {"content": f"{value[-1]['content']} "}]
    else:
        yield from (1000, 0.5, "x", {"x": 1}, {"keep": "Yes", "replace": "No"}, *ORIGINS)


def stale_reuse(bench: Bench, naive: bool = False, every: int = 1) -> list[Tally]:
    """Every setting (one in `every`) changed: the composing command, and the stages without it."""
    values = load(Run(RUN, bench.whole / "runs")).model_dump(mode="json")
    keys = [*leaves(values), *ADDED]
    keys = [key for key in keys if not key.startswith(EXECUTION) and key not in NO_OTHER][::every]
    stages = bench.naive if naive else bench.stages
    chain = [replace(bench.training, naive=naive) if stage.name == "training" else stage for stage in stages]
    decided = [key for key in keys if not key.startswith(COMPOSED)]
    with get_context("fork").Pool(num_cores()) as pool:
        composed = pool.map(partial(compose, bench, chain[0], values), keys, chunksize=1)
        reused = pool.map(partial(reuse, bench, chain[1:], values), decided, chunksize=1)
    return [tally("setting changed, composed again", composed), tally("setting changed, stages alone", reused)]


def tally(fault: str, results: Iterable[tuple[str, str]]) -> Tally:
    counted = Tally(fault)
    for outcome, said in results:
        counted.add(outcome, said)
    return counted


def put(folder: Path, values: Values) -> Path:
    """Write the settings of the run in `folder`, whichever it had."""
    (folder / CONFIG).unlink(missing_ok=True)
    write(Run(RUN, folder / "runs"), copy.deepcopy(values), [])
    return folder


def lane(bench: Bench, values: Values) -> Path:
    """Return a copy of the finished run with other settings."""
    folder = bench.scratch / f"lane-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    return put(shutil.copytree(bench.whole, folder), values)


def compose(bench: Bench, stage: Stage, values: Values, key: str) -> tuple[str, str]:
    """Return the configuration is composed again beside another value for `key`: refused, with the key."""
    ended = stage.run(lane(bench, changed(values, key)))
    told = any(f"{key}{end}" in ended.said for end in (": ", ".")) and " -> " in ended.said
    outcome = PROMISED if ended.code == 3 and told else STOPPED if ended.code else SILENT
    return outcome, f"{key}: exit {ended.code}: {ended.said}"


def reuse(bench: Bench, stages: list[Stage], values: Values, key: str) -> tuple[str, str]:
    """All stages of the finished run with another value for `key`: one refuses, or it decides nothing."""
    other = changed(values, key)
    folder = lane(bench, other)
    for stage in stages:
        ended = stage.run(folder)
        if ended.code:
            promised = ended.code in (2, 3) and (ended.code == 2 or " -> " in ended.said)
            return PROMISED if promised else STOPPED, f"{key} in {stage.name}: exit {ended.code}: {ended.said}"
    fresh = bench.scratch / f"fresh-{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    for stage in stages:
        ended = stage.run(put(fresh, other))
        if ended.code:
            return STOPPED, f"{key} in {stage.name}, from the start: exit {ended.code}: {ended.said}"
    differing = {name for name, _ in made_from(folder).items() ^ made_from(fresh).items()}
    return SILENT if differing else PROMISED, f"{key}: used again, and decides on {sorted(differing)}"


def made_from(folder: Path) -> Tree:
    """Return the run's files but its settings."""
    return {name: content for name, content in tree(folder).items() if Path(name).suffix != ".yaml"}
