"""What is said of every pair: why it is trained on or not, its transition, its flags."""

import polars as pl

from filtering.filters import KEPT, compares_pairs, is_correct, passes
from filtering.flags import FLAGS, question_flags
from filtering.pairs import ANSWER, PAIR
from filtering.rewards.texts import Golds
from filtering.settings import Scoring, Settings
from store.fingerprint import stable_hash

NEVER = pl.lit(False)
IS_COPY = pl.col("initial_answer_number") == pl.col("correction_answer_number")
# By what is trained (strategy.trains_on), of each pair: whether that text is truncated or empty, whether an earlier
# pair has the very same, whether y2 repeats y1. Gold answers are whole, and were checked when questions were read.
TRAINED = {
    "corrections": {
        "truncated": pl.col("correction_finish_reason") == "length",
        "empty": pl.col("correction_empty"),
        "repeated": NEVER,
        "copy": IS_COPY,
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
        "repeated": ~pl.col("question_row").is_first_distinct(),
        "copy": NEVER,
    },
}
# How much of (question_id, initial answer, correction) names the text that is trained.
KEY_LENGTH = {"corrections": 3, "initial_answers": 2, "gold_answers": 1}


# The names of a pair's flags, looked up under a number of which flag i is bit i.
NAMES = pl.Series([[flag for bit, flag in enumerate(FLAGS) if number >> bit & 1] for number in range(2 ** len(FLAGS))])
NUMBER = pl.sum_horizontal(pl.col(flag).cast(pl.UInt16) * 2**bit for bit, flag in enumerate(FLAGS))
NAMES_OF_FLAGS = pl.lit(NAMES).gather(NUMBER)


def selectable(pairs: pl.DataFrame, ids: pl.Series, settings: Settings, split: str) -> pl.DataFrame:
    """Return the columns that `select` needs: numbers only; keys where it compares pairs. ids: of the questions."""
    chosen = settings.scoring.chosen
    rewards = {"initial_reward": pl.col(f"initial_{chosen}"), "correction_reward": pl.col(f"correction_{chosen}")}
    numbers = pairs.select(**rewards, held_out=pl.lit(split != "train"), **TRAINED[settings.trains_on])
    if not compares_pairs(settings.filter, settings.options):
        return numbers
    numbers = numbers.with_row_index("row")
    row = numbers.filter(passes(settings.filter, settings.options))["row"]
    passing = pairs[row]
    keys, texts = passing.select(PAIR).rows(), passing.select("initial_text", "correction_text").rows()
    named, length = list(zip([ids[i] for i, _, _ in keys], keys, texts, strict=True)), KEY_LENGTH[settings.trains_on]
    hashes = {
        "question": [stable_hash(name) for name, _, _ in named],
        "content": [stable_hash(*(name, *both)[:length]) for name, _, both in named],
        "draw": [stable_hash(settings.seed, "filter", name, j, k) for name, (_, j, k), _ in named],
    }
    hashed = pl.DataFrame(hashes, schema=dict.fromkeys(hashes, pl.Int64)).with_columns(row=row)
    return numbers.join(hashed, on="row", how="left", maintain_order="left").drop("row")


def label(pairs: pl.DataFrame, questions: pl.DataFrame, scoring: Scoring, split: str) -> pl.DataFrame:
    """Return the columns of trajectories and more: what is known of the question, whether the pair is kept, its
    transition and the names of its flags."""
    texts, golds = questions["question"].to_list(), Golds(questions["answers"].to_list())
    questions = questions.hstack(pl.DataFrame(question_flags(texts, golds)))[pairs["question_row"]]
    pairs = pairs.hstack(questions)
    r1, r2 = (pl.col(f"{side}_{scoring.chosen}") for side in ("initial", "correction"))
    return pairs.with_columns(
        split=pl.lit(split),
        initial_answer="initial_text",
        correction="correction_text",
        initial_reward=r1,
        correction_reward=r2,
        is_copy=IS_COPY,
        kept=KEPT,
        reason=pl.col("reason").cast(pl.String),
        transition=transition(r1, r2, scoring.threshold),
        flags=NAMES_OF_FLAGS,
    )


def transition(r1: pl.Expr, r2: pl.Expr, threshold: float) -> pl.Expr:
    """Return one of TRANSITIONS, from incorrect or correct to incorrect or correct."""
    before, after = is_correct(r1, threshold), is_correct(r2, threshold)
    return (
        pl.when(~before & after).then(pl.lit("i->c"))
        .when(before & ~after).then(pl.lit("c->i"))
        .when(before & after).then(pl.lit("c->c"))
        .otherwise(pl.lit("i->i"))
    )  # fmt: skip
