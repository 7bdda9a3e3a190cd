"""What is said of every pair: why it is trained on or not, its transition, its flags."""

import polars as pl
import pyarrow as pa

from data.overlap import FLAGS as SHARED_WITH_TRAIN
from filtering.filters import KEPT, REASON, compares_pairs, is_correct, passes
from filtering.flags import FLAGS, question_flags
from filtering.pairs import ANSWER, PAIR, Samples, taken
from filtering.rewards.texts import Golds
from filtering.settings import Scoring, Settings
from filtering.verdicts import VERDICT, wrong_verdict
from store.fingerprint import stable_hash
from store.schemas import TRANSITIONS
from store.schemas import trajectories as trajectories_schema

NEVER = pl.lit(False)
IS_COPY = pl.col("initial_answer_number") == pl.col("correction_answer_number")
# By what is trained (strategy.trains_on), of each pair: whether that text is truncated or empty, whether an earlier
# pair has the very same, whether y2 repeats y1. Gold answers are whole, and were checked when questions were read.
TRAINED = {
    "corrections": {
        "truncated": pl.col("correction_truncated"),
        "empty": pl.col("correction_empty"),
        "repeated": NEVER,
        "copy": IS_COPY,
        "wrong_verdict": NEVER,
    },
    "initial_answers": {
        "truncated": pl.col("initial_truncated"),
        "empty": pl.col("initial_empty"),
        "repeated": ~pl.struct(ANSWER).is_first_distinct(),
        "copy": NEVER,
        "wrong_verdict": NEVER,
    },
    "gold_answers": {
        "truncated": NEVER,
        "empty": NEVER,
        "repeated": ~pl.col("question_row").is_first_distinct(),
        "copy": NEVER,
        "wrong_verdict": NEVER,
    },
}
TRAINED["both"] = TRAINED["corrections"]
# How much of (question_id, initial answer, correction) names the text that is trained.
KEY_LENGTH = {"corrections": 3, "both": 3, "initial_answers": 2, "gold_answers": 1}


NAMES = pa.array([[flag for bit, flag in enumerate(FLAGS) if number >> bit & 1] for number in range(2 ** len(FLAGS))])
NUMBER = pl.sum_horizontal(pl.col(flag).cast(pl.UInt16) * 2**bit for bit, flag in enumerate(FLAGS))  # a row of NAMES
TRANSITION = pl.Enum(TRANSITIONS)


def selectable(pairs: pl.DataFrame, samples: Samples, settings: Settings, split: str) -> pl.DataFrame:
    """Return the columns that `select` needs; keys where it compares pairs."""
    chosen = settings.scoring.chosen
    rewards = {"initial_reward": pl.col(f"initial_{chosen}"), "correction_reward": pl.col(f"correction_{chosen}")}
    threshold, trained = settings.options.threshold, TRAINED[settings.trains_on]
    if "verdict" in pairs.columns and trained is TRAINED["corrections"]:
        trained = trained | {"wrong_verdict": wrong_verdict(is_correct(rewards["initial_reward"], threshold))}
    numbers = pairs.select(**rewards, held_out=pl.lit(split != "train"), **trained)
    if settings.options.first_turns is not None:
        numbers = with_numbers(numbers, "first_turn", first_turn_draws(pairs, samples, settings, split))
    if not compares_pairs(settings.filter, settings.options):
        return numbers
    row = numbers.select(passes(settings.filter, settings.options).arg_true()).to_series()
    ids, length, passing = samples.questions["question_id"].to_pylist(), KEY_LENGTH[settings.trains_on], pairs[row]
    y1 = taken(samples.initial["text"], passing["initial_row"]).to_pylist()
    if settings.num_answers and length == KEY_LENGTH["corrections"]:  # which are asked for by several initial answers
        y1 = list(map(str, taken(samples.corrections["prompt_token_ids"], passing["prompt_row"]).to_pylist()))
    y2 = taken(samples.corrections["text"], passing["correction_row"]).to_pylist()
    keys = list(zip(passing.select(PAIR).iter_rows(), y1, y2, strict=True))
    hashes = {
        "question": [stable_hash(ids[i]) for (i, _, _), *_ in keys],
        "content": [stable_hash(*(ids[i], *texts)[:length]) for (i, _, _), *texts in keys],
        "draw": [stable_hash(settings.seed, "filter", ids[i], j, k) for (i, j, k), *_ in keys],
    }
    for name, numbers_of in hashes.items():
        numbers = with_numbers(numbers, name, dict(zip(row, numbers_of, strict=True)))
    return numbers


def with_numbers(rows: pl.DataFrame, name: str, numbers: dict[int, int]) -> pl.DataFrame:
    """Return the rows with an int64 column more, of these {row: number}, null elsewhere."""
    column = pl.repeat(None, len(rows), dtype=pl.Int64, eager=True).alias(name)
    return rows.with_columns(column.scatter(list(numbers), list(numbers.values())))


def first_turn_draws(pairs: pl.DataFrame, samples: Samples, settings: Settings, split: str) -> dict[int, int]:
    """Return {row: pseudo-random number} of the first pair of every initial answer that may be trained: correct, whole,
    and with drop_duplicates the first of its question with this text."""
    if split != "train":
        return {}
    same = ("question_row", "initial_text_row") if settings.options.drop_duplicates else ANSWER
    is_usable = is_correct(pl.col(f"initial_{settings.scoring.chosen}"), settings.options.threshold)
    usable = pairs.with_row_index("row").filter(is_usable, ~pl.col("initial_truncated"), ~pl.col("initial_empty"))
    ids, first = samples.questions["question_id"].to_pylist(), usable.filter(pl.struct(same).is_first_distinct())
    keys = first.select("row", *ANSWER).iter_rows()
    return {row: stable_hash(settings.seed, "first_turn", ids[i], j) for row, i, j in keys}


def labeled(pairs: pl.DataFrame, questions: pa.Table, scoring: Scoring) -> pl.DataFrame:
    """Add the chosen reward of both texts, the transition, whether the pair is kept by its `reason`, and its flags."""
    texts, golds = questions["question"].to_pylist(), Golds(questions["answers"].to_pylist())
    shared = {flag: questions[flag].to_numpy() for flag in SHARED_WITH_TRAIN.values()}
    flags = pl.DataFrame(question_flags(texts, golds) | shared)[pairs["question_row"]]
    r1, r2 = (pl.col(f"{side}_{scoring.chosen}") for side in ("initial", "correction"))
    return pairs.hstack(flags).with_columns(
        initial_reward=r1,
        correction_reward=r2,
        is_copy=IS_COPY,
        kept=KEPT,
        transition=transition(r1, r2, scoring.threshold),
        flags=NUMBER,
    )


def trajectories(pairs: pl.DataFrame, samples: Samples, split: str, rewards: list[str]) -> pa.Table:
    """Return rows of schemas.trajectories: of every labeled pair all numbers, and the texts in their words."""
    final_answers = pa.chunked_array([[text[1:-1] for text in samples.texts.final.normalized]], pa.string())
    columns = {
        **{
            name: taken(samples.questions[name], pairs["question_row"])
            for name in ("question_id", "question", "answers")
        },
        "split": pa.repeat(split, len(pairs)),
        "initial_answer": taken(samples.initial["text"], pairs["initial_row"]),
        "correction": taken(samples.corrections["text"], pairs["correction_row"]),
        "initial_final_answer": taken(final_answers, pairs["initial_text_row"]),
        "correction_final_answer": taken(final_answers, pairs["correction_text_row"]),
        "initial_finish_reason": taken(samples.initial["finish_reason"], pairs["initial_row"]),
        "correction_finish_reason": taken(samples.corrections["finish_reason"], pairs["correction_row"]),
        "transition": pa.array(TRANSITIONS).take(pairs["transition"].to_physical().to_arrow()),
        "reason": pa.array(REASON.categories.to_list()).take(pairs["reason"].to_physical().to_arrow()),
        "flags": NAMES.take(pairs["flags"].to_arrow()),
    }
    if "verdict" in pairs.columns:
        columns["verdict"] = pa.array(VERDICT.categories.to_list()).take(pairs["verdict"].to_physical().to_arrow())
    schema = trajectories_schema(rewards, with_verdict="verdict" in columns)
    numbers = {name: pairs[name].to_arrow() for name in schema.names if name not in columns}
    return pa.Table.from_pydict({name: (columns | numbers)[name] for name in schema.names}, schema=schema)


def transition(r1: pl.Expr, r2: pl.Expr, threshold: float) -> pl.Expr:
    """Return one of TRANSITIONS, from incorrect or correct to incorrect or correct."""
    before, after = is_correct(r1, threshold), is_correct(r2, threshold)
    return (
        pl.when(~before & after).then(pl.lit("i->c", TRANSITION))
        .when(before & ~after).then(pl.lit("c->i", TRANSITION))
        .when(before & after).then(pl.lit("c->c", TRANSITION))
        .otherwise(pl.lit("i->i", TRANSITION))
    )  # fmt: skip
