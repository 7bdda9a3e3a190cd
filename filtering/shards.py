"""What is done to one shard: `score` reads, joins and scores its pairs, `write` publishes its tables.

Between the two a pair is a row of numbers: texts are in memory one shard at a time, and never leave the process that
read them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from filtering import metrics, sft
from filtering.baselines import tokenizer
from filtering.flags import text_flags
from filtering.labels import labeled, selectable, trajectories
from filtering.pairs import PAIR, read_samples, with_texts
from filtering.scoring import score_samples
from filtering.settings import Settings
from filtering.source import Source
from store.publish import write_atomic
from store.shards import corrupt, describe_encoded, encode_shard, read_bytes

Rows = list[dict[str, Any]]
Scores = dict[str, np.ndarray]  # {reward: float32 of shape (n,)}, an entry for each of a Samples's texts
Written = tuple[dict[str, Any], dict[str, Any] | None, metrics.Counts]


def score(source: Source, settings: Settings, split: str, file: str) -> tuple[Scores, pl.DataFrame, Rows]:
    """Return r(y) of every text, what `select` needs of every pair that has all rewards, and quarantined rows for the
    other pairs."""
    columns = ("initial_answer", *(("prompt_token_ids",) if settings.num_answers else ()))
    samples = read_samples(source, settings.compat, split, file, *columns, verdict=settings.scoring.verdict)
    place, judgements = str(source.samples.corrections / file), source.judgements(file)
    scores = score_samples(settings.scoring, samples, place, judgements)
    empty = {"empty": [not text.strip() for text in samples.texts]}
    pairs = with_texts(samples, scores | empty)
    scored, unscorable = scorable(pairs, scores)
    ids = samples.questions["question_id"].to_pylist()
    quarantined = [
        {"question_id": ids[i], "init_index": j, "corr_index": k, "code": "UNSCORABLE", "rows": 1}
        for i, j, k in unscorable.select(PAIR).iter_rows()
    ]
    return scores, selectable(scored, samples, settings, split), quarantined


def write(
    source: Source, settings: Settings, split: str, file: str, header: dict[str, Any], scores: Scores,
    quarantined: Rows, selected: pl.DataFrame, sft_name: str | None, end_of_turn: int | None,
) -> Written:  # fmt: skip
    """Publish the shard of trajectories/ and, where any pair is kept, the shard `sft_name` of sft/; return what the
    manifests say of both, and the counts for metrics.json. selected: reason and first_turn of the scorable pairs."""
    columns = ("token_ids", *(sft.PROMPT if sft_name else ()))
    samples = read_samples(source, settings.compat, split, file, *columns, verdict=settings.scoring.verdict)
    flags = text_flags(samples.texts, samples.golds, settings.scoring.expects_marker)
    pairs, _ = scorable(with_texts(samples, scores | flags), scores)
    pairs = labeled(pairs.hstack(selected), samples.questions, settings.scoring)

    folder, header = source.folder, header | {"split": split}
    pairs_header = header | {"stage": "trajectories", "quarantined": quarantined}
    rewards = settings.scoring.rewards
    table = trajectories(pairs, samples, split, rewards)
    described = publish_shard(folder.trajectories / file, table, pairs_header)
    rows, described_sft = None, None
    if sft_name:
        rows = sft.of_shard(pairs, samples, settings, lambda: tokenizer(source.run, end_of_turn))
        described_sft = publish_shard(folder.sft / sft_name, rows, header | {"stage": "sft"})
    counts = metrics.count(pairs, samples.initial, samples.corrections, rewards, rows)
    return described, described_sft, counts


def scorable(pairs: pl.DataFrame, scores: Scores) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the pairs that have all rewards on both sides, and the others."""
    if all(np.isfinite(values).all() for values in scores.values()):  # mostly, and copies nothing
        return pairs, pairs.clear()
    finite = [pl.col(f"{side}_{name}").is_finite() for name in scores for side in ("initial", "correction")]
    return pairs.filter(finite), pairs.filter(~pl.all_horizontal(finite))


def publish_shard(path: Path, table: pa.Table, header: dict[str, Any]) -> dict[str, Any]:
    """Write a shard, or find it there bit for bit; return what its manifest says of it."""
    content = encode_shard(table, table.schema, header)
    if not write_atomic(path, content) and read_bytes(path) != content:
        raise corrupt(path, "it is not what these samples and settings give")
    return describe_encoded(content, table)
