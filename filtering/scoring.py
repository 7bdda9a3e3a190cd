"""Texts scored by a reward: one of REWARDS, the user's function or unit tests, which get questions too, or a mean."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from conf.judges import JUDGE
from conf.reward_file import UNIT_TESTS, WEIGHTED
from filtering.judged import Judgements
from filtering.pairs import ANSWER, PAIR, Samples
from filtering.rewards import REWARDS, own, unit_tests
from filtering.rewards.texts import Golds, Texts
from filtering.settings import Scoring


class Asked(NamedTuple):
    """What n texts answer. rows: of the questions, one for each text. place, name: where the texts are from, and which
    each one is, for messages. judgements: of these texts, where there is a judge."""

    questions: pa.Table
    rows: Sequence[int]
    place: str
    name: Callable[[int], str]
    judgements: Judgements | None = None


def score(reward: str, scoring: Scoring, texts: Texts, golds: Golds, asked: Asked) -> np.ndarray:
    """Return the scores of n texts, float32 of shape (n,)."""
    if reward == WEIGHTED:
        parts = {part: score(part, scoring, texts, golds, asked) for part in scoring.weights or ()}
        return weighted_mean(scoring, parts)
    if reward in REWARDS:
        return REWARDS[reward](texts, golds)
    if reward == UNIT_TESTS:
        tests = unit_tests.of_questions(asked.questions)
        return unit_tests.score(texts, [tests[row] for row in asked.rows])
    questions = asked.questions["question"].to_pylist()
    if reward == JUDGE:
        assert asked.judgements is not None  # conf.judges.check_judge
        return asked.judgements.score([questions[row] for row in asked.rows], texts, golds)
    assert scoring.function is not None  # conf.reward_file.check_reward
    columns = {name: list(map(json.loads, asked.questions[name].to_pylist())) for name in scoring.function.columns}
    rows = own.Rows(
        [questions[row] for row in asked.rows], texts, [list(aliases) for aliases in golds],
        {name: [values[row] for row in asked.rows] for name, values in columns.items()}, asked.place, asked.name,
    )  # fmt: skip
    return own.score(scoring.function, rows)


def score_samples(
    scoring: Scoring, samples: Samples, place: str, judgements: Judgements | None = None
) -> dict[str, np.ndarray]:
    """Return the scores of the texts of some samples, by every reward."""
    asked = Asked(samples.questions, samples.text_questions, place, lambda text: name_of(samples, text), judgements)
    parts = [reward for reward in scoring.rewards if reward != WEIGHTED]
    scores = {reward: score(reward, scoring, samples.texts, samples.golds, asked) for reward in parts}
    if WEIGHTED in scoring.rewards:
        scores[WEIGHTED] = weighted_mean(scoring, scores)
    return {reward: scores[reward] for reward in scoring.rewards}


def weighted_mean(scoring: Scoring, scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the mean of the scores that have weights, NaN where one of them is."""
    assert scoring.weights  # conf.reward_file.check_reward
    total = sum(weight * scores[part].astype(np.float64) for part, weight in scoring.weights.items())
    return np.asarray(total / sum(scoring.weights.values()), np.float32)


def name_of(samples: Samples, text: int) -> str:
    """Return the ids of the first sample that has a text."""
    for side, keys in (("initial", ANSWER), ("correction", PAIR)):
        found = samples.pairs.filter(pl.col(f"{side}_text_row") == text)
        if len(found):
            return ids(samples.questions["question_id"], **found.select(keys).row(0, named=True))
    return ids(samples.questions["question_id"], samples.text_questions[text])


def ids(question_ids: pa.ChunkedArray, question_row: int, **indices: int) -> str:
    """Return the key of a sample as words."""
    numbers = "".join(f", {name}={number}" for name, number in indices.items())
    return f"question_id={question_ids[question_row].as_py()!r}{numbers}"
