"""The two passes over an iteration's samples: score every text, select on numbers, then write the tables.

Between the passes a pair is its scores and a few bytes more: texts are in memory one shard at a time.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from filtering import metrics, rounds
from filtering.filters import LAST_KEPT, Pairs, select
from filtering.gold import end_of_turn
from filtering.processes import spread
from filtering.settings import Settings
from filtering.shards import Scored, Shards, Written, publish_shard
from filtering.source import Source
from store.errors import BadInput
from store.schemas import ROUNDS, SPLITS
from store.shards import shard_name

MAX_UNSCORABLE_SHARE = 0.01


@dataclass
class Tables:
    """What the second pass has written: shards for the two manifests, and what metrics.json sums up, by split."""

    trajectories: dict[str, dict[str, Any]] = field(default_factory=dict)
    sft: dict[str, dict[str, Any]] = field(default_factory=dict)
    counts: dict[str, metrics.Counts] = field(default_factory=dict)
    sums: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    rounds: dict[str, dict[str, Any]] = field(default_factory=dict)
    round_counts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, split: str, file: str, scored: Scored, written: Written, sft_name: str | None) -> None:
        """Take in a shard."""
        self.trajectories[file] = written.trajectories
        if sft_name:
            self.sft[sft_name] = written.sft
        self.quarantined += [entry | {"file": file} for entry in scored.quarantined]
        metrics.add(self.counts.setdefault(split, {}), written.counts)
        for name, parts in written.sums.items():
            self.sums.setdefault(split, {}).setdefault(name, []).extend(parts)


def write_tables(source: Source, settings: Settings, header: dict[str, Any], processes: int) -> Tables:
    """Both passes: publish the shards of trajectories/ and of sft/, which has as many as there are with kept pairs."""
    files = [(split, file) for split in SPLITS for file in source.files(split)]
    end = end_of_turn(source) if settings.trains_on == "gold_answers" else None
    with spread(Shards(source, settings, header, end), min(processes, len(files))) as each:
        scored = each("score", files)
        refuse_unscorable(source, scored)
        selected = select_pairs(scored, settings)
        with_kept = [place for place, some in zip(files, selected, strict=True) if (some.reasons <= LAST_KEPT).any()]
        names = {place: shard_name(place[0], number, len(with_kept)) for number, place in enumerate(with_kept)}
        tasks = zip(files, selected, strict=True)
        written = each("write", [(*place, some, names.get(place)) for place, some in tasks])
    tables = Tables()
    for (split, file), some, done in zip(files, selected, written, strict=True):
        tables.add(split, file, some, done, names.get((split, file)))
    for split in SPLITS if source.further_rounds else ():
        write_rounds(source, settings, split, header, tables)
    return tables


def refuse_unscorable(source: Source, scored: list[Scored]) -> None:
    """BadInput when more than 1 % of the pairs could not be scored."""
    quarantined = [entry for shard in scored for entry in shard.quarantined]
    num_pairs = sum(len(shard.scorable) for shard in scored)
    if len(quarantined) > MAX_UNSCORABLE_SHARE * num_pairs:
        raise BadInput(
            f"{source.folder.dir}: {len(quarantined)} of {num_pairs} pairs could not be scored, e.g. {quarantined[0]}, "
            f"and at most {MAX_UNSCORABLE_SHARE:.0%} may be left out: choose another reward"
        )


def select_pairs(scored: list[Scored], settings: Settings) -> list[Scored]:
    """The shards with the Reason of every scorable pair; pairs that are compared are selected over the whole run at
    once."""
    compared = [shard.columns for shard in scored if shard.columns is not None]
    if not compared:
        return scored
    columns = (column.name for column in fields(Pairs))
    run = Pairs(*(np.concatenate([getattr(pairs, name) for pairs in compared]) for name in columns))
    ends = np.cumsum([len(pairs.copy) for pairs in compared])
    reasons = iter(np.split(select(run, settings.filter, settings.options), ends[:-1]))
    return [shard if shard.columns is None else replace(shard, columns=None, reasons=next(reasons)) for shard in scored]


def write_rounds(source: Source, settings: Settings, split: str, header: dict[str, Any], tables: Tables) -> None:
    """Publish a split's shards of rounds/."""
    parts = rounds.tables(source, settings.scoring, split, source.questions(split))
    for file, table in parts.items():
        shard_header = header | {"split": split, "stage": "rounds"}
        tables.rounds[file] = publish_shard(source.folder.rounds / file, table, ROUNDS, shard_header)
    tables.round_counts[split] = rounds.summarize(list(parts.values()))
