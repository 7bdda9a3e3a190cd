"""What is said of every pair: why it is trained on or not, its transition, its flags."""

import polars as pl

from filtering.filters import KEPT, compares_pairs, is_correct, passes
from filtering.flags import FLAGS, question_flags
from filtering.pairs import ANSWER, PAIR
from filtering.rewards.texts import Golds
from filtering.settings import Scoring, Settings
from store.fingerprint import sample_seed

NEVER = pl.lit(False)
# By what is trained (strategy.trains_on), of each pair: whether that text is truncated or empty, whether an earlier
# pair has the very same, whether y2 repeats y1. Gold answers are whole, and were checked when questions were read.
TRAINED = {
    "corrections": {
        "truncated": pl.col("correction_finish_reason") == "length",
        "empty": pl.col("correction_empty"),
        "repeated": NEVER,
        "copy": pl.col("initial_answer") == pl.col("correction"),
    },
    "initial_answers": {
        "truncated": pl.col("initial_finish_reason") == "length",
        "empty": pl.col("initial_empty"),
        "repeated": ~pl.struct(ANSWER).is_first_distinct(),
        "copy": NEVER,
    },
    "gold_answers": {
        "truncated": NEVER,
        "empty": NEVER,
        "repeated": ~pl.col("question_id").is_first_distinct(),
        "copy": NEVER,
    },
}
# How much of TEXTS names the text that is trained.
TEXTS = ("question_id", "initial_answer", "correction")
KEY_LENGTH = {"corrections": 3, "initial_answers": 2, "gold_answers": 1}


def selectable(pairs: pl.DataFrame, settings: Settings, split: str) -> pl.DataFrame:
    """Return the columns that `select` needs: numbers only; keys where it compares pairs."""
    chosen = settings.scoring.chosen
    rewards = {"initial_reward": pl.col(f"initial_{chosen}"), "correction_reward": pl.col(f"correction_{chosen}")}
    numbers = pairs.select(**rewards, held_out=pl.lit(split != "train"), **TRAINED[settings.trains_on])
    if not compares_pairs(settings.filter, settings.options):
        return numbers
    numbers = numbers.with_row_index("row")
    passing = numbers.filter(passes(settings.filter, settings.options))["row"]
    ids, contents = (pairs.select(names)[passing].rows() for names in (PAIR, TEXTS))
    keys = {
        "question": [sample_seed(content[0]) for content in contents],
        "content": [sample_seed(*content[: KEY_LENGTH[settings.trains_on]]) for content in contents],
        "draw": [sample_seed(settings.seed, "filter", *key) for key in ids],
    }
    rows = pl.DataFrame(keys, schema=dict.fromkeys(keys, pl.Int64)).with_columns(row=passing)
    return numbers.join(rows, on="row", how="left", maintain_order="left").drop("row")


def label(pairs: pl.DataFrame, questions: pl.DataFrame, scoring: Scoring) -> pl.DataFrame:
    """Add the other columns of trajectories: what is known of the question, whether the pair is kept, its transition
    and the names of its flags."""
    texts, golds = questions["question"].to_list(), Golds(questions["answers"].to_list())
    questions = questions.hstack(pl.DataFrame(question_flags(texts, golds)))
    pairs = pairs.join(questions, on="question_id", how="left", maintain_order="left")
    r1, r2 = (pl.col(f"{side}_{scoring.chosen}") for side in ("initial", "correction"))
    pairs = pairs.with_columns(
        initial_reward=r1, correction_reward=r2, kept=KEPT, transition=transition(r1, r2, scoring.threshold)
    )
    names = pl.concat_list(pl.when(flag).then(pl.lit(flag)) for flag in FLAGS).list.drop_nulls()
    different = pairs.select(FLAGS).unique().with_columns(flags=names)  # a dozen sets in a shard
    return pairs.join(different, on=FLAGS, how="left", maintain_order="left")


def transition(r1: pl.Expr, r2: pl.Expr, threshold: float) -> pl.Expr:
    """Return one of TRANSITIONS, from incorrect or correct to incorrect or correct."""
    before, after = is_correct(r1, threshold), is_correct(r2, threshold)
    return (
        pl.when(~before & after).then(pl.lit("i->c"))
        .when(before & ~after).then(pl.lit("c->i"))
        .when(before & after).then(pl.lit("c->c"))
        .otherwise(pl.lit("i->i"))
    )  # fmt: skip
