"""What is done to one shard: it is scored in the first pass, and its tables are written in the second.

A process keeps one `Shards` for both passes. What it is given and returns are names and numbers, so that shards can be
spread over processes; texts never leave the process that read them.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from filtering import metrics, sft
from filtering.filters import LAST_KEPT, Pairs, Reason, compares_pairs, select
from filtering.gold import gold_completions
from filtering.join import Joined, crossed
from filtering.questions import Questions
from filtering.samples import Samples, Scores
from filtering.settings import Settings
from filtering.source import Source
from filtering.trajectories import Verdicts, pair_columns, to_table
from store.publish import publish
from store.schemas import SFT, trajectories
from store.shards import corrupt, describe_shard, encode_shard, read_bytes, verify_shard


@dataclass(frozen=True)
class Scored:
    """What the first pass leaves of a shard. scores: of its texts. scorable: which of its pairs have all of them, bool.
    quarantined: rows for the others. Of the scorable pairs, columns: what the filter sees, where it has yet to compare
    those of the whole run; reasons: the Reason of each, int8, where that is settled."""

    scores: Scores
    scorable: np.ndarray
    quarantined: list[dict[str, Any]]
    columns: Pairs | None
    reasons: np.ndarray | None


@dataclass(frozen=True)
class Written:
    """What the second pass leaves of a shard: what manifests say of it and of its SFT rows, None where no pair is kept,
    and what metrics.json sums up."""

    trajectories: dict[str, Any]
    sft: dict[str, Any] | None
    counts: metrics.Counts
    sums: dict[str, list[float]]


class Shards:
    """header: of every shard that is written. end_of_turn: the token after a gold answer, where these are trained."""

    def __init__(self, source: Source, settings: Settings, header: dict[str, Any], end_of_turn: int | None) -> None:
        self.source, self.settings, self.header, self.end_of_turn = source, settings, header, end_of_turn
        self._questions: tuple[str, Questions] | None = None

    def score(self, split: str, file: str) -> Scored:
        settings = self.settings
        samples = self._read(split, file)
        scores = samples.scores(settings.scoring.rewards)
        rewards = samples.rewards(scores, samples.joined)
        scorable = np.all([np.isfinite(values) for values in rewards.values()], axis=0)
        pairs, others = samples.joined.where(scorable), samples.joined.where(~scorable)
        columns, reasons = None, np.full(len(pairs), Reason.HELD_OUT, dtype=np.int8)
        if split == "train":
            columns, reasons = pair_columns(samples, pairs, scores, settings), None
            if not compares_pairs(settings.filter, settings.options):
                columns, reasons = None, select(columns, settings.filter, settings.options)
        return Scored(scores, scorable, [_unscorable(key) for key in others.pair_ids()], columns, reasons)

    def write(self, split: str, file: str, scored: Scored, sft_name: str | None) -> Written:
        """Publish the shard of trajectories/, and that of sft/ where it has a name."""
        settings, folder, reasons = self.settings, self.source.folder, scored.reasons
        samples = self._read(split, file, "token_ids", *(sft.COLUMNS if sft_name else ()))
        pairs = samples.joined.where(scored.scorable)
        verdicts = Verdicts.of(samples, pairs, scored.scores, settings.scoring, reasons)
        table = to_table(samples, pairs, scored.scores, settings.scoring, split, verdicts)
        header = self.header | {"split": split}
        described = publish_shard(
            folder.trajectories / file, table, trajectories(settings.scoring.rewards),
            header | {"stage": "trajectories", "quarantined": scored.quarantined},
        )  # fmt: skip
        rows = None
        if sft_name:
            kept = self._rows_of_kept(pairs.where(reasons <= LAST_KEPT), samples)
            rows = publish_shard(folder.sft / sft_name, kept, SFT, header | {"stage": "sft"})
        counts = metrics.count(table, verdicts)
        metrics.add(counts, metrics.count_samples(samples.joined.initial, samples.joined.corrections))
        sums = {name: metrics.exact_sum(values) for name, values in samples.rewards(scored.scores, pairs).items()}
        return Written(described, rows, counts, sums)

    def _read(self, split: str, file: str, *more: str) -> Samples:
        """A shard with its questions; only training pairs are ever crossed."""
        if self._questions is None or self._questions[0] != split:
            self._questions = split, self.source.questions(split)
        questions = self._questions[1]
        joined = self.source.shard(split, file, questions, more)
        if "cross_pairing" in self.settings.compat and split == "train":
            joined = crossed(joined, self.source.num_corrections[split])
        return Samples.of(joined, questions)

    def _rows_of_kept(self, kept: Joined, samples: Samples) -> pa.Table:
        settings, golds = self.settings, []
        if settings.trains_on == "gold_answers":
            golds = [self._gold(samples.asked.answers[row][0]) for row in kept.pair_questions.tolist()]
        return sft.to_table(kept, settings.trains_on, golds, settings.training_prompt, samples.asked)

    @cached_property
    def _gold(self):
        return gold_completions(self.source.run, self.end_of_turn)


def publish_shard(path: Path, table: pa.Table, schema: pa.Schema, header: dict[str, Any]) -> dict[str, Any]:
    """Write a shard, or find it there bit for bit; what its manifest says of it."""
    content = encode_shard(table, schema, header)
    if not publish(path, content) and read_bytes(path) != content:
        raise corrupt(path, "it is not what these samples and settings give")
    return describe_shard(content, verify_shard(content, path))


def _unscorable(key: tuple[str, int, int]) -> dict[str, Any]:
    return dict(zip(("question_id", "init_index", "corr_index"), key, strict=True)) | {"code": "UNSCORABLE", "rows": 1}
