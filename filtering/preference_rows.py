"""The rows of preference data: a shard's usable texts by the prompt that they were sampled to, correct or not."""

from collections import Counter
from typing import Any

import polars as pl
import pyarrow as pa

from filtering.filters import is_correct
from filtering.rewards.texts import Texts
from filtering.shards import publish_shard
from filtering.source import Source
from filtering.verdicts import wrong_verdict
from store.fingerprint import stable_hash
from store.schemas import DPO, KTO, trajectories
from store.shards import Manifest, read_listed

PROMPT, KEYS = ("question_id", "turn", "prompt"), ("init_index", "corr_index")
TEXT = ("question_id", "initial_answer", "text")  # an initial answer has no initial_answer
SCORED = ("question_id", "initial_answer", "correction", "initial_reward", "correction_reward")


def write(
    source: Source, scored: Manifest, header: dict[str, Any], seed: int, per_prompt: int, file: str
) -> tuple[dict[str, Any], Counter[str]]:
    """Publish both tables of a shard of samples, those that have rows; return what the manifest says of each, and their
    counts."""
    found = drawn(usable_texts(source, scored, file), seed)
    kept = found.filter(pl.col("number") <= per_prompt)
    chosen, rejected = kept.filter("correct"), kept.filter(~pl.col("correct"))
    pairs = chosen.join(rejected, on=(*PROMPT, "number"), suffix="_rejected", maintain_order="left")
    indices = {f"chosen_{key}": key for key in KEYS} | {f"rejected_{key}": f"{key}_rejected" for key in KEYS}
    tables = {
        "dpo": (pairs.with_columns(chosen=chat("text"), rejected=chat("text_rejected"), **indices), DPO),
        "kto": (kept.with_columns(completion=chat("text"), label="correct"), KTO),
    }
    entries, number = {}, file.split("-")[1]
    for kind, (rows, schema) in tables.items():
        if len(rows):  # datasets cannot read an empty file
            table = rows.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)
            path = source.folder.preferences / f"{kind}-{number}.parquet"
            entries[path.name] = publish_shard(path, table, header)
    of_prompts = found.group_by(PROMPT).agg(pl.col("correct").any(), incorrect=(~pl.col("correct")).any())
    counts = Counter({
        "correction pairs": len(pairs.filter(turn="correction")),
        "initial answer pairs": len(pairs.filter(turn="initial_answer")),
        "correct": len(chosen),
        "incorrect": len(rejected),
        "prompts": len(of_prompts),
        "only correct": len(of_prompts.filter(~pl.col("incorrect"))),
        "only incorrect": len(of_prompts.filter(~pl.col("correct"))),
    })  # fmt: skip
    return entries, counts


def drawn(texts: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Add the number, 1 and on, of each text among the correct or the incorrect ones of its prompt, in the order of a
    hash of the seed and its ids: the layout of the shards does not matter."""
    keys = texts.select("question_id", *KEYS).iter_rows()
    draw = pl.Series("draw", [stable_hash(seed, "preferences", *key) for key in keys], pl.Int64)
    return texts.with_columns(draw).with_columns(number=pl.col("draw").rank("ordinal").over(*PROMPT, "correct"))


def usable_texts(source: Source, scored: Manifest, file: str) -> pl.DataFrame:
    """Return the texts of a shard that are neither truncated nor empty, each different one of a prompt once: PROMPT,
    KEYS, by which they are sorted, text, and whether it is correct. One that could not be scored is not among them.

    scored: the manifest of the trajectories, which have the rewards.
    """
    _, initial, corrections = source.read("train", file, "prompt", "initial_answer")
    scoring, path = scored.settings["scoring"], source.folder.trajectories / file
    has_verdict = "verdict" in scoring
    columns = (*SCORED, *(("verdict", "contradicted") if has_verdict else ()))
    rewards = read_listed(path, scored.shards[file], trajectories(scoring["rewards"], has_verdict), columns)
    pairs = pl.DataFrame(pl.from_arrow(rewards))
    is_right = {side: is_correct(pl.col(f"{side}_reward"), scoring["threshold"]) for side in ("initial", "correction")}
    wrong = wrong_verdict(is_right["initial"]) if has_verdict else pl.lit(False)
    preferable = ~(is_right["correction"] & wrong)  # a correct text behind a wrong one is no example of either
    y1 = pairs.select("question_id", text="initial_answer", reward="initial_reward")
    y2 = pairs.filter(preferable).select("question_id", "initial_answer", text="correction", reward="correction_reward")
    sampled = pl.concat([samples(initial, "initial_answer"), samples(corrections, "correction")], how="diagonal")
    return (
        sampled.filter(pl.col("finish_reason") != "length", ~pl.col("empty"))
        .join(pl.concat([y2, y1], how="diagonal").unique(TEXT), on=TEXT, nulls_equal=True)
        .with_columns(correct=is_correct(pl.col("reward"), scoring["threshold"]))
        .sort("question_id", "turn", *KEYS)
        .unique([*PROMPT, "text"], keep="first", maintain_order=True)
    )


def samples(table: pa.Table, turn: str) -> pl.DataFrame:
    """Return samples with their turn, and whether they are empty but for what a model thinks."""
    empty = pl.Series("empty", [not text.strip() for text in Texts(table["text"].to_pylist())], pl.Boolean)
    rows = pl.DataFrame(pl.from_arrow(table)).with_columns(empty, turn=pl.lit(turn))
    return rows if "corr_index" in rows.columns else rows.with_columns(corr_index=pl.lit(-1, pl.Int32))


def chat(text: str) -> pl.Expr:
    """Return a column of texts as chats of one assistant turn."""
    return pl.concat_list(pl.struct(role=pl.lit("assistant"), content=text))
