"""metrics.json: what the paper and SCoRe report of an iteration, as counts of rows and ratios of two counts.

Counts are over the trajectories' rows, so a query over the Parquet files gives the same numbers, except for those
of samples and their tokens, where each sample counts once however many pairs it is in.
"""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from filtering import verdicts
from filtering.flags import FLAGS
from store.schemas import TRANSITIONS

EXCLUSION_FLAGS = ("gold_in_question", "overlap", "shared_answer")  # of questions: accuracy is given without each, too
GROUP = ("transition", "reason", *EXCLUSION_FLAGS)
VERDICTS = ("verdict", "contradicted")  # columns of runs whose prompt has verdicts
INITIAL_CORRECT = pl.col("transition").cast(pl.String).str.starts_with("c")
TRAINED = "trained_"  # begins the names of counts of rows to train on
COUNTED = [
    pl.len().alias("pairs"),
    pl.col("is_copy").sum().alias("copies"),
    pl.col("initial_truncated").sum(),
    pl.col("correction_truncated").sum(),
    pl.col("kept").sum(),
    *(pl.col(flag).sum() for flag in FLAGS if flag not in GROUP),
]
# Of a shard: the counts of its pairs by GROUP, those of its samples, and {reward column: exact_sum}.
Counts = tuple[pl.DataFrame, Counter[str], dict[str, list[float]]]


def count(
    pairs: pl.DataFrame, initial: pa.Table, corrections: pa.Table, rewards: list[str], rows: pa.Table | None = None
) -> Counts:
    """Count a shard's trajectories, the samples that they are made of, and by reason the `rows` to train on where these
    have one."""
    grouped = pairs.group_by(*GROUP, *(name for name in VERDICTS if name in pairs.columns)).agg(COUNTED)
    samples = Counter(
        questions=pairs["question_row"].n_unique(),
        initial_answers=len(initial),
        corrections=len(corrections),
        initial_answer_tokens=num_tokens(initial),
        correction_tokens=num_tokens(corrections),
    )
    if rows is not None and "reason" in rows.column_names:
        samples.update(f"{TRAINED}{reason}" for reason in rows["reason"].to_pylist())
    columns = [f"{side}_{name}" for name in rewards for side in ("initial", "correction")]
    return grouped, samples, {column: exact_sum(pairs[column].to_list()) for column in columns}


def summarize(shards: Iterable[Counts]) -> dict[str, Any]:
    """Return a split's entry in metrics.json from the counts of its shards."""
    parts, counters, sums = zip(*shards, strict=True)
    pairs, samples = pl.concat(parts), Counter[str]()
    for counter in counters:
        samples.update(counter)
    num_pairs, total = pairs["pairs"].sum(), pairs.select(pl.exclude(*GROUP, *VERDICTS).sum()).row(0, named=True)
    for flag in EXCLUSION_FLAGS:
        total[flag] = pairs.filter(flag)["pairs"].sum()
    flags = {flag: total[flag] for flag in sorted(FLAGS) if total[flag]}
    reasons = pairs.group_by("reason").agg(pl.col("pairs").sum())
    means = {column: ratio(math.fsum(x for of in sums for x in of[column]), num_pairs) for column in sums[0]}
    trained = {key.removeprefix(TRAINED): samples[key] for key in sorted(samples) if key.startswith(TRAINED)}
    recipes: dict[str, Any] = {"trained_rows": trained} if trained else {}
    if "verdict" in pairs.columns:
        recipes["verdicts"] = verdicts.summarize(pairs.with_columns(initial_correct=INITIAL_CORRECT))
    return {
        "num_questions": samples["questions"],
        "num_initial_answers": samples["initial_answers"],
        "num_corrections": samples["corrections"],
        **accuracy(pairs),
        **{f"without_{flag}": accuracy(pairs.filter(~pl.col(flag))) for flag in EXCLUSION_FLAGS},
        "gold_in_question": accuracy(pairs.filter("gold_in_question")),
        "num_copies": total["copies"],
        "copy_rate": ratio(total["copies"], num_pairs),
        "num_initial_truncated": total["initial_truncated"],
        "initial_truncation_rate": ratio(total["initial_truncated"], num_pairs),
        "num_correction_truncated": total["correction_truncated"],
        "correction_truncation_rate": ratio(total["correction_truncated"], num_pairs),
        "num_initial_format_failures": total["initial_no_final_answer"],
        "num_correction_format_failures": total["correction_no_final_answer"],
        "num_initial_answer_tokens": samples["initial_answer_tokens"],
        "num_correction_tokens": samples["correction_tokens"],
        "mean_rewards": means,
        "num_kept": total["kept"],
        "reasons": dict(sorted(reasons.iter_rows())),
        "flags": flags,
        **recipes,
    }


def accuracy(pairs: pl.DataFrame) -> dict[str, Any]:
    """Return t1 and t2, the share of pairs whose initial answer and whose correction is correct, delta = t2 - t1 and
    SCoRe's four transition rates."""
    counted = dict(pairs.group_by("transition").agg(pl.col("pairs").sum()).iter_rows())
    transitions = {name: counted.get(name, 0) for name in TRANSITIONS}
    num_pairs = sum(transitions.values())
    before = transitions["c->c"] + transitions["c->i"]
    after = transitions["c->c"] + transitions["i->c"]
    return {
        "num_pairs": num_pairs,
        "num_initial_correct": before,
        "num_correction_correct": after,
        "t1": ratio(before, num_pairs),
        "t2": ratio(after, num_pairs),
        "delta": ratio(after - before, num_pairs),
        "transitions": {
            name: {"count": number, "rate": ratio(number, num_pairs)} for name, number in transitions.items()
        },
    }


def exact_sum(terms: list[float]) -> list[float]:
    """Return numbers with exactly the sum of the terms, mostly one: means are the same whatever the shards."""
    parts: list[float] = []
    while rest := math.fsum(terms):
        parts.append(rest)
        terms.append(-rest)
    return parts


def num_tokens(samples: pa.Table) -> int:
    """Return how many tokens were generated for them."""
    return pc.sum(pc.list_value_length(samples["token_ids"])).as_py() or 0


def ratio(part: float, whole: int) -> float | None:
    """Return part / whole, None of nothing."""
    return part / whole if whole else None
