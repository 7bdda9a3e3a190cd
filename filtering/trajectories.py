"""Trajectories: every pair of initial answer and correction beside the gold answers, with all rewards and flags."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.fingerprint import sample_seed
from data.schemas import trajectories as trajectories_schema
from filtering.filters import LAST_KEPT, TRANSITIONS, Pairs, Reason, transitions
from filtering.final_answer import final_answer
from filtering.flags import question_flags, text_flags
from filtering.join import Joined
from filtering.normalize import normalize
from filtering.rewards import REWARDS

Questions = Mapping[str, Mapping[str, Any]]  # question_id -> question, answers, shared


# How much of (question, initial answer, correction) names the text that is trained.
DEPTH = {"corrections": 3, "initial_answers": 2, "gold_answers": 1}
TRAINED = ["text", "finish_reason"]


@dataclass(frozen=True)
class Scoring:
    """rewards: all that are computed, `chosen` among them; a chosen reward of at least `threshold` (t) is correct.
    expects_marker: the prompt asks for a marked final answer."""

    rewards: list[str]
    chosen: str
    threshold: float
    expects_marker: bool


@dataclass(frozen=True)
class Scores:
    """{reward: float32} of a shard's initial answers, each of shape (m,), and of its corrections, shape (n,)."""

    initial: dict[str, np.ndarray]
    correction: dict[str, np.ndarray]

    def of_pairs(self, joined: Joined) -> dict[str, np.ndarray]:
        """{initial_<reward>, correction_<reward>: float32, one entry per pair}."""
        columns = {}
        for name in self.initial:
            columns[f"initial_{name}"] = self.initial[name][joined.answer_rows]
            columns[f"correction_{name}"] = self.correction[name][joined.correction_rows]
        return columns


def score(joined: Joined, questions: Questions, scoring: Scoring) -> Scores:
    """Every reward of every text, computed once however many pairs the text is in."""
    sides = []
    for table in (joined.initial, joined.corrections):
        texts = table["text"].to_pylist()
        golds = [questions[key]["answers"] for key in table["question_id"].to_pylist()]
        sides.append({name: REWARDS[name](texts, golds) for name in scoring.rewards})
    return Scores(*sides)


def pair_columns(joined: Joined, scores: Scores, chosen: str, seed: int, trains_on: str) -> Pairs:
    """What the filter sees of each pair: numbers only, 36 bytes."""
    keys, depth = joined.pair_ids(), DEPTH[trains_on]
    sides = ((joined.initial, joined.answer_rows), (joined.corrections, joined.correction_rows))
    answers, corrections = (table.select(TRAINED).take(pa.array(rows)).to_pydict() for table, rows in sides)
    texts = zip(answers["text"], corrections["text"], strict=True)
    contents = [(key[0], *of_pair)[:depth] for key, of_pair in zip(keys, texts, strict=True)]
    # gold answers are whole, and were checked when the questions were read
    trained = {3: corrections, 2: answers}.get(depth, {"text": ["gold"] * len(keys), "finish_reason": [""] * len(keys)})
    first = {key[:depth]: row for row, key in reversed(list(enumerate(keys)))}
    rewards = scores.of_pairs(joined)
    return Pairs(
        question=np.array([sample_seed(key[0]) for key in keys], dtype=np.int64),
        content=np.array([sample_seed(*content) for content in contents], dtype=np.int64),
        draw=np.array([sample_seed(seed, "filter", *key) for key in keys], dtype=np.int64),
        initial_reward=rewards[f"initial_{chosen}"],
        correction_reward=rewards[f"correction_{chosen}"],
        truncated=np.array([reason == "length" for reason in trained["finish_reason"]], dtype=bool),
        empty=np.array([not text.strip() for text in trained["text"]], dtype=bool),
        repeated=np.array([first[key[:depth]] != row for row, key in enumerate(keys)], dtype=bool),
        copy=np.array([len(content) == 3 and content[1] == content[2] for content in contents], dtype=bool),
    )


def to_table(
    joined: Joined, scores: Scores, questions: Questions, scoring: Scoring, split: str, reasons: np.ndarray
) -> pa.Table:
    """The trajectories of a shard, one row per pair, kept or not; `reasons` holds the Reason of each."""
    answers = joined.initial.take(pa.array(joined.answer_rows))
    corrections = joined.corrections.take(pa.array(joined.correction_rows))
    ids = corrections["question_id"].to_pylist()
    rewards = scores.of_pairs(joined)
    chosen = rewards[f"initial_{scoring.chosen}"], rewards[f"correction_{scoring.chosen}"]
    final_answers = [
        [normalize(final_answer(text)) for text in table["text"].to_pylist()]
        for table in (joined.initial, joined.corrections)
    ]
    columns = rewards | {
        "question_id": ids,
        "init_index": joined.init_index,
        "corr_index": joined.corr_index,
        "split": [split] * len(ids),
        "question": [questions[key]["question"] for key in ids],
        "answers": [questions[key]["answers"] for key in ids],
        "initial_answer": answers["text"],
        "correction": corrections["text"],
        "initial_final_answer": [final_answers[0][row] for row in joined.answer_rows],
        "correction_final_answer": [final_answers[1][row] for row in joined.correction_rows],
        "initial_reward": chosen[0],
        "correction_reward": chosen[1],
        "transition": [TRANSITIONS[code] for code in transitions(*chosen, scoring.threshold)],
        "kept": reasons <= LAST_KEPT,
        "reason": [Reason(code).name.lower() for code in reasons],
        "flags": pair_flags(joined, questions, scoring.expects_marker),
        "initial_finish_reason": answers["finish_reason"],
        "correction_finish_reason": corrections["finish_reason"],
        "initial_num_tokens": pc.list_value_length(answers["token_ids"]),
        "correction_num_tokens": pc.list_value_length(corrections["token_ids"]),
    }
    schema = trajectories_schema(scoring.rewards)
    return pa.Table.from_pydict({name: columns[name] for name in schema.names}, schema=schema)


def pair_flags(joined: Joined, questions: Questions, expects_marker: bool) -> list[list[str]]:
    """Per pair its question's flags, then those of both texts with the prefixes initial_ and correction_."""
    of_text = {}
    for side, table in (("initial", joined.initial), ("correction", joined.corrections)):
        of_text[side] = [
            [f"{side}_{flag}" for flag in text_flags(text, questions[key]["answers"], expects_marker)]
            for text, key in zip(table["text"].to_pylist(), table["question_id"].to_pylist(), strict=True)
        ]
    ids = joined.corrections["question_id"].to_pylist()
    of_question = {
        key: question_flags(questions[key]["question"], questions[key]["answers"]) + questions[key]["shared"]
        for key in set(ids)
    }
    return [
        of_question[ids[row]] + of_text["initial"][answer] + of_text["correction"][row]
        for answer, row in zip(joined.answer_rows.tolist(), joined.correction_rows.tolist(), strict=True)
    ]
