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
from filtering.labels import label, selectable
from filtering.pairs import PAIR, read_shard, with_texts
from filtering.rewards import REWARDS
from filtering.settings import Settings
from filtering.source import Source
from store.publish import write_atomic
from store.schemas import SFT, trajectories
from store.shards import corrupt, describe_encoded, encode_shard, read_bytes

Rows = list[dict[str, Any]]
Scores = dict[str, np.ndarray]  # {reward: float32 of shape (n,)}, an entry for each of a Shard's texts
Written = tuple[dict[str, Any], dict[str, Any] | None, metrics.Counts]


def score(source: Source, settings: Settings, split: str, file: str) -> tuple[Scores, pl.DataFrame, Rows]:
    """Return r(y) of every text, what `select` needs of every pair that has all rewards, and quarantined rows for the
    other pairs."""
    shard = read_shard(source, settings.compat, split, file, "initial_answer")
    scores = {name: REWARDS[name](shard.texts, shard.golds) for name in settings.scoring.rewards}
    known = {"empty": [not text.strip() for text in shard.texts], "answer_number": shard.answer_numbers}
    pairs = with_texts(shard, scores | known)
    scored, unscorable = scorable(pairs, scores)
    ids = shard.questions["question_id"]
    quarantined = [
        {"question_id": ids[i], "init_index": j, "corr_index": k, "code": "UNSCORABLE", "rows": 1}
        for i, j, k in unscorable.select(PAIR).iter_rows()
    ]
    return scores, selectable(scored, ids, settings, split), quarantined


def write(
    source: Source, settings: Settings, split: str, file: str, header: dict[str, Any], scores: Scores,
    quarantined: Rows, reasons: pl.Series, sft_name: str | None, end_of_turn: int | None,
) -> Written:  # fmt: skip
    """Publish the shard of trajectories/ and, where any pair is kept, the shard `sft_name` of sft/; return what the
    manifests say of both, and the counts for metrics.json. reasons: of the scorable pairs, as `select` gives them."""
    columns = ("token_ids", *(sft.PROMPT if sft_name else ()))
    shard = read_shard(source, settings.compat, split, file, *columns)
    final_answers = [text[1:-1] for text in shard.texts.final.normalized]
    known = {"final_answer": final_answers, "answer_number": shard.answer_numbers}
    flags = text_flags(shard.texts, shard.golds, settings.scoring.expects_marker)
    pairs, _ = scorable(with_texts(shard, scores | known | flags), scores)
    pairs = label(pairs.hstack([reasons.alias("reason")]), shard.questions, settings.scoring, split)

    folder, header = source.folder, header | {"split": split}
    pairs_header = header | {"stage": "trajectories", "quarantined": quarantined}
    schema = trajectories(settings.scoring.rewards)
    table = pairs.select(schema.names).rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    described = publish_shard(folder.trajectories / file, table, schema, pairs_header)
    described_sft = None
    if sft_name:
        kept = pairs.select(sft.KEPT_COLUMNS).filter(pairs["kept"])
        if settings.trains_on == "corrections":
            rows = sft.of_corrections(kept, shard.corrections, settings.training_prompt)
        elif settings.trains_on == "initial_answers":
            rows = sft.of_initial_answers(kept, shard.initial)
        else:
            rows = sft.of_gold_answers(kept, shard.initial, tokenizer(source.run, end_of_turn))
        described_sft = publish_shard(folder.sft / sft_name, rows, SFT, header | {"stage": "sft"})
    return described, described_sft, metrics.count(pairs, shard.initial, shard.corrections, settings.scoring.rewards)


def scorable(pairs: pl.DataFrame, scores: Scores) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the pairs that have all rewards on both sides, and the others."""
    if all(np.isfinite(values).all() for values in scores.values()):  # mostly, and copies nothing
        return pairs, pairs.clear()
    finite = [pl.col(f"{side}_{name}").is_finite() for name in scores for side in ("initial", "correction")]
    return pairs.filter(finite), pairs.filter(~pl.all_horizontal(finite))


def publish_shard(path: Path, table: pa.Table, schema: pa.Schema, header: dict[str, Any]) -> dict[str, Any]:
    """Write a shard, or find it there bit for bit; return what its manifest says of it."""
    content = encode_shard(table, schema, header)
    if not write_atomic(path, content) and read_bytes(path) != content:
        raise corrupt(path, "it is not what these samples and settings give")
    return describe_encoded(content, table)
