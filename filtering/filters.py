"""Step 3 of Algorithm 1 (arXiv 2503.08681): which pairs M_{n+1} is trained on, and why each other one is not.

A pair is a row of numbers here, 8 to 36 bytes, so a whole run is selected at once, and texts stay on disk. Where some
rows of many are to be kept, those with the smallest `draw` are: a number made from the seed and the row's ids, so
neither the order of the rows nor the layout of the shards matters.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import polars as pl

from conf.strategy import MATCHED

# Why a pair is trained on (those up to LAST_KEPT) or not, in the order in which kept rows stay before others.
REASON = pl.Enum([
    "improving",
    "kept_correct",
    "unfiltered",  # the filter is off
    "random",
    "initial_correct",  # its initial answer is trained, not its correction
    "gold",  # its question's gold answer is trained
    "held_out",  # validation and test are never trained on
    "truncated",
    "empty",
    "repeated",  # an earlier pair has the same initial answer or gold answer, which is trained once
    "wrong_verdict",  # none, contradicted by what follows it, or a correct initial answer replaced
    "degraded",
    "incorrect_twice",
    "not_improving",
    "not_equal",
    "initial_incorrect",
    "duplicate",
    "over_question_cap",
    "balance",
    "copy_cap",
    "not_drawn",
])  # fmt: skip
LAST_KEPT = "gold"
ROUNDING = 1e-6  # rewards are float32: 0.6 - 0.5 comes out 2e-8 above 0.1, and is no gain beyond a margin of 0.1

KEPT = pl.col("reason") <= pl.lit(LAST_KEPT, REASON)
# Columns, and reasons: such pairs are never trained on.
UNUSABLE = ("held_out", "truncated", "wrong_verdict", "empty", "repeated")
r1, r2 = pl.col("initial_reward").cast(pl.Float64), pl.col("correction_reward").cast(pl.Float64)  # r(y1), r(y2)


@dataclass(frozen=True)
class Options:
    """threshold: t, a reward of at least t is correct. margin: gains of at most this count as equal, for continuous
    rewards. The rest bounds what is kept, None is no bound: rows per question; kept-correct rows per improving one;
    the share of verbatim copies among the kept (a correct answer repeated teaches to copy). siblings: how many rows
    of filtering.siblings there are at most for each kept-correct one of a question; first_turns: how many initial
    answers are trained for each kept correction; None is none."""

    threshold: float = 0.5
    margin: float = 0.0
    drop_duplicates: bool = False
    max_per_question: int | None = None
    max_kept_correct_per_improving: float | None = None
    max_copy_share: float | None = None
    siblings: float | None = None
    first_turns: float | None = None


def is_correct(reward: pl.Expr, threshold: float) -> pl.Expr:
    """Return r >= t, with t rounded as the rewards are: a float32 reward of 0.7 reaches a threshold of 0.7."""
    return reward.cast(pl.Float64) >= float(np.float32(threshold))


def improving(options: Options) -> pl.Expr:
    """Return D+ = {r(y2) > r(y1)}, by more than the margin."""
    return r2 - r1 > options.margin + ROUNDING


def equal_only(options: Options) -> pl.Expr:
    """Return D= = {r(y2) = r(y1) >= t}: correct twice. The authors' code takes this alone for Non-decreasing."""
    equal = (r2 - r1).abs() <= options.margin + ROUNDING
    return equal & is_correct(r1, options.threshold) & is_correct(r2, options.threshold)


def non_decreasing(options: Options) -> pl.Expr:
    """Return D+ ∪ D=."""
    return improving(options) | equal_only(options)


def correct(options: Options) -> pl.Expr:
    """Return {r(y1) >= t}, for training on initial answers."""
    return is_correct(r1, options.threshold)


def everything(options: Options) -> pl.Expr:
    """Return every pair: no filter."""
    return pl.lit(True)


FILTERS: dict[str, Callable[[Options], pl.Expr]] = {
    "improving": improving,
    "non_decreasing": non_decreasing,
    "equal_only": equal_only,
    "none": everything,
    "random_matched": everything,  # of which `select` draws as many as the filter in MATCHED keeps
    "random_matched_non_decreasing": everything,
    "random_matched_equal_only": everything,
    "correct": correct,
    "gold": everything,
}
# What the kept pairs of a filter are called that does not tell improving ones from kept-correct ones.
KEPT_REASON = {"none": "unfiltered", "correct": "initial_correct", "gold": "gold"} | dict.fromkeys(MATCHED, "random")


def compares_pairs(name: str, options: Options) -> bool:
    """Return whether what becomes of a pair depends on others: `select` then needs question, content and draw."""
    bounds = (options.max_per_question, options.max_kept_correct_per_improving, options.max_copy_share)
    return name in MATCHED or options.drop_duplicates or any(bound is not None for bound in bounds)


def passes(name: str, options: Options) -> pl.Expr:
    """Return which pairs are usable and pass the filter; more may drop out where pairs are compared."""
    return FILTERS[name](options) & ~pl.any_horizontal(UNUSABLE)


def reason(name: str, options: Options) -> pl.Expr:
    """Return why each pair passes the filter `name` or does not, before pairs are compared."""
    passed = FILTERS[name](options)
    cases = {column: pl.col(column) for column in UNUSABLE}
    if name in KEPT_REASON:
        cases[KEPT_REASON[name]] = passed
    if name == "correct":
        cases["initial_incorrect"] = ~passed
    cases |= {
        "improving": improving(options) & passed,
        "kept_correct": equal_only(options) & passed,
        "not_equal": improving(options),
        "not_improving": equal_only(options),
        "degraded": r1 - r2 > options.margin + ROUNDING,
        "incorrect_twice": ~is_correct(pl.max_horizontal(r1, r2), options.threshold),
    }
    whens = [pl.when(condition).then(pl.lit(why, REASON)) for why, condition in cases.items()]
    return pl.coalesce(*whens, pl.lit("not_improving", REASON))


def select(pairs: pl.DataFrame, name: str, options: Options) -> pl.Series:
    """Return the REASON of every pair under the filter `name`; D_n are those up to LAST_KEPT.

    pairs: initial_reward and correction_reward, r(y1) and r(y2); the columns UNUSABLE; copy: y2, where it is trained,
    repeats y1 verbatim. Where `compares_pairs`: question and content, int64 keys (rows that share `content` have the
    same question, prompt and trained text), and draw, int64, pseudo-random and unique; null where `passes` is false.
    In this order: unusable texts, the filter, duplicates, the cap per question (improving pairs stay before others
    under non_decreasing), the balance, the share of copies, and for those in MATCHED the draw.
    """
    if not compares_pairs(name, options):
        return pairs.select(reason=reason(name, options)).to_series()
    rows = pairs.with_row_index("row").with_columns(reason=reason(name, options)).sort("reason", "draw")
    number = KEPT.cum_sum()  # 1, 2, ... of the rows still kept
    if options.drop_duplicates:
        rows = drop(rows, number.over("content") > 1, "duplicate")
    if options.max_per_question is not None:
        rows = drop(rows, number.over("question") > options.max_per_question, "over_question_cap")
    if name in MATCHED:
        kept = pairs.select(reason=select(pairs, MATCHED[name], options))
        rows = drop(rows, number > count(kept, KEPT), "not_drawn")
        return rows.sort("row")["reason"]
    if options.max_kept_correct_per_improving is not None:
        kept_correct = pl.col("reason") == "kept_correct"
        allowed = floor(options.max_kept_correct_per_improving, count(rows, pl.col("reason") == "improving"))
        rows = drop(rows, kept_correct & (kept_correct.cum_sum() > allowed), "balance")
    if options.max_copy_share is not None and options.max_copy_share < 1:
        share = Fraction(str(options.max_copy_share))  # copies <= share * (copies + others)
        copies = KEPT & pl.col("copy")
        allowed = floor(share / (1 - share), count(rows, KEPT & ~pl.col("copy")))
        rows = drop(rows, copies & (copies.cum_sum() > allowed), "copy_cap")
    return rows.sort("row")["reason"]


def first_turns(pairs: pl.DataFrame, reasons: pl.Series, options: Options) -> pl.DataFrame:
    """Return the reasons, and which pairs' initial answers are trained too, to their own prompts (STaR's rows): of
    those that have a `first_turn`, a pseudo-random number, the options.first_turns * |D_n| with the smallest."""
    chosen = pl.lit(False)
    if options.first_turns is not None:
        allowed = floor(options.first_turns, count(pl.DataFrame({"reason": reasons}), KEPT))
        chosen = (pl.col("first_turn").rank("ordinal") <= allowed).fill_null(False)
    return pairs.select(reason=reasons, first_turn=chosen)


def any_kept(selected: pl.DataFrame) -> bool:
    """Return whether rows of D_n are made from one of these pairs."""
    return bool(selected.select((KEPT | pl.col("first_turn")).any()).item())


def drop(rows: pl.DataFrame, over: pl.Expr, why: str) -> pl.DataFrame:
    """Give the kept rows that are `over` a bound another reason."""
    return rows.with_columns(reason=pl.when(KEPT & over).then(pl.lit(why, REASON)).otherwise("reason"))


def count(rows: pl.DataFrame, which: pl.Expr) -> int:
    """Return for how many rows `which` is true."""
    return rows.select(which.sum()).item()


def floor(factor: float | Fraction, number: int) -> int:
    """Return floor(factor * number), exact for the decimal that the factor is written as (0.1 is one tenth)."""
    return math.floor(Fraction(str(factor)) * number)
