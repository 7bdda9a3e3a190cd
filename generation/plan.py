"""What a generation stage will make: its fingerprint and its shards, fixed once, before any worker starts."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from conf.strategy import Samples, corrects_with
from store.checkpoints import locate
from store.fingerprint import digest, refuse_difference
from store.publish import write_atomic
from store.run import PLAN, Iteration, Run
from store.schemas import SPLITS
from store.shards import corrupt, read_manifest, read_object, required_manifest, shard_name
from store.stage import ANOTHER_RUN, archive_superseded, fingerprint, is_whole


@dataclass(frozen=True)
class Shard:
    """Questions [start, stop) of a split, in the order of the questions' shards, their samples per question, and how
    often an answer is corrected, each time the correction before."""

    split: str
    index: int
    count: int
    start: int
    stop: int
    num_initial: int
    num_corrections: int
    num_rounds: int

    @property
    def file(self) -> str:
        return shard_name(self.split, self.index, self.count)


@dataclass(frozen=True)
class Plan:
    """settings, parents: the stage's fingerprint (store.fingerprint). reused: splits whose initial answers are
    iter_00's (fixed initialization)."""

    iteration: int
    settings: dict[str, Any]
    parents: dict[str, str]
    reused: tuple[str, ...]
    shards: tuple[Shard, ...]

    @property
    def num_rounds(self) -> int:
        return max(shard.num_rounds for shard in self.shards)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.settings, self.parents)


def make_plan(
    run: Run, iteration: int, settings: dict[str, Any], samples: Mapping[str, Samples], reused: tuple[str, ...],
    shard_questions: int,
) -> Plan:  # fmt: skip
    """Return the plan of M_n's generation. settings: what decides the samples. samples: how many a question of each
    split gets. reused: splits whose initial answers are iter_00's; they keep its shards, so pairs stay row by row. The
    others are cut into shards of `shard_questions`."""
    questions = required_manifest(run.questions, f"python -m data run={run.name}")
    _, checkpoint = locate(run, corrects_with(iteration))
    parents = {"questions": questions.digest, "checkpoint": checkpoint.digest}
    if reused:
        first = required_manifest(run.iteration(0).initial_answers, f"make iterate N=0 RUN={run.name}")
        parents["initial_answers"] = first.digest
    rows = {
        split: sum(shard["rows"] for name, shard in questions.shards.items() if name.startswith(f"{split}-"))
        for split in SPLITS
    }
    shards: list[Shard] = []
    for split in SPLITS:
        if split in reused:
            shards += [s for s in read_plan(run.iteration(0).dir).shards if s.split == split]
        else:
            shards += split_shards(split, rows[split], shard_questions, samples[split])
    return Plan(iteration, settings, parents, reused, tuple(shards))


def split_shards(split: str, num_questions: int, size: int, samples: Samples) -> list[Shard]:
    """Cut a split into shards of `size` questions."""
    starts = range(0, num_questions, size)
    return [
        Shard(split, index, len(starts), start, min(start + size, num_questions), *samples)
        for index, start in enumerate(starts)
    ]


def load_or_write_plan(folder: Path, plan: Plan) -> Plan:
    """Return the plan on disk when it has this fingerprint, else `plan`, published.

    Other settings are refused; other parents move aside what the earlier plan made.
    """
    if (folder / PLAN).exists():
        old = read_plan(folder)
        refuse_difference(str(folder / PLAN), old.settings, plan.settings, ANOTHER_RUN)
        if old.parents == plan.parents:
            return old
        for table in tables(folder, old):
            if table.exists():
                print(f"{table}: its parents were rebuilt; moved to {archive_superseded(table).name}", flush=True)
    content = asdict(plan)
    write_atomic(folder / PLAN, json.dumps(content | {"digest": digest(content)}, indent=1).encode(), replace=True)
    return plan


def read_plan(folder: Path) -> Plan:
    """Return the plan of an iteration's folder; CorruptArtifact when it is missing or was edited."""
    path = folder / PLAN
    values = read_object(path)
    try:
        stated = values.pop("digest")
        if digest(values) != stated:
            raise ValueError("it was edited: its content does not match its digest")
        values["shards"] = tuple(Shard(**shard) for shard in values["shards"])
        return Plan(**(values | {"reused": tuple(values["reused"])}))
    except (ValueError, TypeError, KeyError) as error:
        raise corrupt(path, f"it is not a plan ({error})") from error


def tables(folder: Path, plan: Plan) -> list[Path]:
    """Return the folders that a plan fills: initial answers, then one for each round of corrections."""
    iteration = Iteration(plan.iteration, folder)
    return [iteration.initial_answers, *(iteration.corrections_of(r + 1) for r in range(plan.num_rounds))]


def is_complete(folder: Path, plan: Plan) -> bool:
    """Whether every table's manifest is there, belongs to this plan, and what it names is on disk."""
    for table in tables(folder, plan):
        manifest = read_manifest(table)
        if manifest is None or (manifest.settings, manifest.parents) != (plan.settings, plan.parents):
            return False
        if not is_whole(table, manifest):
            return False
    return True
