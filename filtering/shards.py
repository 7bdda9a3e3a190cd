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
from filtering.filters import KEPT
from filtering.flags import text_flags
from filtering.labels import label, selectable
from filtering.pairs import PAIR, distinct_texts, read_pairs, with_texts
from filtering.rewards import REWARDS
from filtering.settings import Settings
from filtering.source import Source
from store.publish import publish
from store.schemas import SFT, trajectories
from store.shards import corrupt, describe_shard, encode_shard, read_bytes, verify_shard

Rows = list[dict[str, Any]]
Scores = dict[str, np.ndarray]  # {reward: float32 of shape (n,)}, an entry for each of `distinct_texts`
Written = tuple[dict[str, Any], dict[str, Any] | None, metrics.Counts]


def score(source: Source, settings: Settings, split: str, file: str) -> tuple[Scores, pl.DataFrame, Rows]:
    """Return r(y) of every text, what `select` needs of every pair that has all rewards, and quarantined rows for the
    other pairs."""
    *_, pairs, questions = read_pairs(source, settings.compat, split, file)
    distinct, texts, golds = distinct_texts(pairs, questions)
    scores = {name: REWARDS[name](texts, golds) for name in settings.scoring.rewards}
    empty = {"empty": [not text.strip() for text in texts]}
    pairs = with_texts(pairs, distinct.hstack(pl.DataFrame(scores | empty)))
    unscorable = pairs.filter(~scorable(scores)).select(PAIR).iter_rows(named=True)
    quarantined = [key | {"code": "UNSCORABLE", "rows": 1} for key in unscorable]
    return scores, selectable(pairs.filter(scorable(scores)), settings, split), quarantined


def write(
    source: Source, settings: Settings, split: str, file: str, header: dict[str, Any], scores: Scores,
    quarantined: Rows, reasons: pl.Series, sft_name: str | None, end_of_turn: int | None,
) -> Written:  # fmt: skip
    """Publish the shard of trajectories/ and, where any pair is kept, the shard `sft_name` of sft/; return what the
    manifests say of both, and the counts for metrics.json. reasons: of the scorable pairs, as `select` gives them."""
    columns = ("token_ids", *(sft.PROMPT if sft_name else ()))
    initial, corrections, pairs, questions = read_pairs(source, settings.compat, split, file, *columns)
    distinct, texts, golds = distinct_texts(pairs, questions)
    final_answers = {"final_answer": [text[1:-1] for text in texts.final.normalized]}
    known = scores | final_answers | text_flags(texts, golds, settings.scoring.expects_marker)
    pairs = with_texts(pairs, distinct.hstack(pl.DataFrame(known))).filter(scorable(scores))
    pairs = label(pairs.with_columns(reason=reasons, split=pl.lit(split)), questions, settings.scoring)

    folder, header = source.folder, header | {"split": split}
    pairs_header = header | {"stage": "trajectories", "quarantined": quarantined}
    described = publish_shard(folder.trajectories / file, pairs, trajectories(settings.scoring.rewards), pairs_header)
    described_sft = None
    if sft_name:
        kept = pairs.filter(KEPT)
        if settings.trains_on == "corrections":
            rows = sft.of_corrections(kept, corrections, settings.training_prompt)
        elif settings.trains_on == "initial_answers":
            rows = sft.of_initial_answers(kept, initial)
        else:
            rows = sft.of_gold_answers(kept, initial, tokenizer(source.run, end_of_turn))
        described_sft = publish_shard(folder.sft / sft_name, rows, SFT, header | {"stage": "sft"})
    return described, described_sft, metrics.count(pairs, initial, corrections, settings.scoring.rewards)


def scorable(scores: Scores) -> pl.Expr:
    """Return which pairs have all rewards on both sides."""
    return pl.all_horizontal(
        pl.col(f"{side}_{name}").is_finite() for name in scores for side in ("initial", "correction")
    )


def publish_shard(path: Path, rows: pl.DataFrame, schema: pa.Schema, header: dict[str, Any]) -> dict[str, Any]:
    """Write the columns of a schema as a shard, or find it there bit for bit; return what its manifest says of it."""
    enums = pl.selectors.enum().cast(pl.String)
    table = rows.select(schema.names).with_columns(enums).rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    content = encode_shard(table, schema, header)
    if not publish(path, content) and read_bytes(path) != content:
        raise corrupt(path, "it is not what these samples and settings give")
    return describe_shard(content, verify_shard(content, path))
