"""The two passes over an iteration's samples: score every text, select on numbers, then write the tables.

Between the passes a pair is its scores and 35 bytes more: texts are in memory one shard at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data.errors import BadInput
from data.publish import publish
from data.schemas import ROUNDS, SFT, SPLITS, trajectories
from data.shards import corrupt, decode_shard, describe_shard, encode_shard, read_bytes, shard_name
from filtering import metrics, rounds, sft
from filtering.filters import LAST_KEPT, Options, Pairs, Reason, select
from filtering.gold import gold_completions
from filtering.join import Joined, crossed
from filtering.source import Source
from filtering.trajectories import Questions, Scores, Scoring, pair_columns, score, to_table

MAX_UNSCORABLE_SHARE = 0.01


@dataclass(frozen=True)
class Settings:
    """Everything that decides what is kept, and as what. filter: a name of FILTERS. compat: the switches that are on,
    already applied to the other fields. training_prompt: messages that corrections are trained to instead of their own.
    """

    seed: int
    filter: str
    trains_on: str
    options: Options
    scoring: Scoring
    compat: list[str]
    training_prompt: list[dict[str, str]] | None = None


@dataclass(frozen=True)
class Shard:
    """What the first pass leaves of a shard: its scores, which of its pairs have all of them (bool), what the filter
    sees of those (None where nothing is trained on), and the others' rows for quarantine."""

    scores: Scores
    scorable: np.ndarray
    columns: Pairs | None
    quarantined: list[dict[str, Any]]


@dataclass
class Tables:
    """What the second pass has written: shards for the two manifests, and what metrics.json sums up, by split."""

    trajectories: dict[str, dict[str, Any]] = field(default_factory=dict)
    sft: dict[str, dict[str, Any]] = field(default_factory=dict)
    counts: dict[str, metrics.Counts] = field(default_factory=dict)
    rewards: dict[str, list[dict[str, np.ndarray]]] = field(default_factory=dict)
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    rounds: dict[str, dict[str, Any]] = field(default_factory=dict)
    round_counts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def joined_shards(source: Source, settings: Settings) -> Iterator[tuple[str, str, Questions, Joined]]:
    """(split, file name, questions, pairs) of every shard; only training pairs are ever crossed."""
    for split in SPLITS:
        questions = source.questions(split)
        for file, joined in source.shards(split, questions):
            if "cross_pairing" in settings.compat and split == "train":
                joined = crossed(joined, source.num_corrections[split])
            yield split, file, questions, joined


def score_shards(source: Source, settings: Settings) -> dict[str, Shard]:
    """The first pass, by file name. BadInput when more than 1 % of the pairs could not be scored."""
    shards, num_pairs = {}, 0
    for split, file, questions, joined in joined_shards(source, settings):
        scores = score(joined, questions, settings.scoring)
        scorable = np.all([np.isfinite(values) for values in scores.of_pairs(joined).values()], axis=0)
        pairs, others = joined.where(scorable), joined.where(~scorable)
        columns = None
        if split == "train":
            columns = pair_columns(pairs, scores, settings.scoring.chosen, settings.seed, settings.trains_on)
        shards[file] = Shard(scores, scorable, columns, [_unscorable(key) for key in others.pair_ids()])
        num_pairs += len(joined)
    quarantined = [entry for shard in shards.values() for entry in shard.quarantined]
    if len(quarantined) > MAX_UNSCORABLE_SHARE * num_pairs:
        raise BadInput(
            f"{source.folder.dir}: {len(quarantined)} of {num_pairs} pairs could not be scored, e.g. {quarantined[0]}, "
            f"and at most {MAX_UNSCORABLE_SHARE:.0%} may be left out: choose another reward"
        )
    return shards


def select_pairs(shards: dict[str, Shard], settings: Settings) -> dict[str, np.ndarray]:
    """The Reason of every scorable pair, by file name; training pairs are selected over the whole run at once."""
    train = {file: shard.columns for file, shard in shards.items() if shard.columns is not None}
    assert train, "the questions of a run hold training questions"
    names = [column.name for column in fields(Pairs)]
    run = Pairs(*(np.concatenate([getattr(pairs, name) for pairs in train.values()]) for name in names))
    reasons = select(run, settings.filter, settings.options)
    ends = np.cumsum([len(pairs.draw) for pairs in train.values()])
    selected = dict(zip(train, np.split(reasons, ends[:-1]), strict=True))
    for file, shard in shards.items():
        selected.setdefault(file, np.full(np.count_nonzero(shard.scorable), Reason.HELD_OUT, dtype=np.int8))
    return selected


def write_tables(source: Source, settings: Settings, header: dict[str, Any]) -> Tables:
    """Both passes: publish the shards of trajectories/ and of sft/, which has as many as there are with kept pairs."""
    shards = score_shards(source, settings)
    reasons = select_pairs(shards, settings)
    with_kept = [file for file in shards if (reasons[file] <= LAST_KEPT).any()]
    gold = gold_completions(source) if settings.trains_on == "gold_answers" else None
    tables = Tables()
    for split, file, questions, joined in joined_shards(source, settings):
        shard, pairs = shards[file], joined.where(shards[file].scorable)
        table = to_table(pairs, shard.scores, questions, settings.scoring, split, reasons[file])
        shard_header = header | {"split": split, "quarantined": shard.quarantined}
        path = source.folder.trajectories / file
        schema = trajectories(settings.scoring.rewards)
        tables.trajectories[file] = publish_shard(path, table, schema, shard_header | {"stage": "trajectories"})
        if file in with_kept:
            path = source.folder.sft / shard_name(split, with_kept.index(file), len(with_kept))
            kept = pairs.where(reasons[file] <= LAST_KEPT)
            golds = [gold(questions[key[0]]["answers"][0]) for key in kept.pair_ids()] if gold else []
            table_of_kept = sft.to_table(kept, settings.trains_on, golds, settings.training_prompt, questions)
            tables.sft[path.name] = publish_shard(path, table_of_kept, SFT, header | {"split": split, "stage": "sft"})
        tables.quarantined += [entry | {"file": file} for entry in shard.quarantined]
        counts = tables.counts.setdefault(split, {})
        metrics.add(counts, metrics.count(table))
        metrics.add(counts, metrics.count_samples(joined.initial, joined.corrections))
        tables.rewards.setdefault(split, []).append(shard.scores.of_pairs(pairs))
    for split in SPLITS if source.further_rounds else ():
        parts = rounds.tables(source, settings.scoring, split, source.questions(split))
        for file, table in parts.items():
            shard_header = header | {"split": split, "stage": "rounds"}
            tables.rounds[file] = publish_shard(source.folder.rounds / file, table, ROUNDS, shard_header)
        tables.round_counts[split] = rounds.summarize(list(parts.values()))
    return tables


def publish_shard(path: Path, table: pa.Table, schema: pa.Schema, header: dict[str, Any]) -> dict[str, Any]:
    """Write a shard, or find it there bit for bit; what its manifest says of it."""
    content = encode_shard(table, schema, header)
    if not publish(path, content) and read_bytes(path) != content:
        raise corrupt(path, "it is not what these samples and settings give")
    return describe_shard(content, decode_shard(content, path, schema)[1])


def _unscorable(key: tuple[str, int, int]) -> dict[str, Any]:
    return dict(zip(("question_id", "init_index", "corr_index"), key, strict=True)) | {"code": "UNSCORABLE", "rows": 1}
