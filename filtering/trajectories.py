"""Trajectories: every pair of initial answer and correction beside the gold answers, with all rewards and flags."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filtering import flags
from filtering.filters import LAST_KEPT, Pairs, Reason, compares_pairs, passing, transitions
from filtering.join import Joined
from filtering.samples import Samples, Scores, taken
from filtering.settings import Scoring, Settings
from store.fingerprint import sample_seed
from store.schemas import TRANSITIONS
from store.schemas import trajectories as trajectories_schema

# How much of (question, initial answer, correction) names the text that is trained.
DEPTH = {"corrections": 3, "initial_answers": 2, "gold_answers": 1}
REASONS = pa.array([reason.name.lower() for reason in Reason])


def pair_columns(samples: Samples, pairs: Joined, scores: Scores, settings: Settings) -> Pairs:
    """What the filter sees of each pair: numbers only; keys where it compares pairs."""
    depth, chosen = DEPTH[settings.trains_on], scores[settings.scoring.chosen]
    initial, correction = samples.of_pairs(chosen, pairs)
    answers, corrections = samples.of_pairs(np.arange(len(samples.texts)), pairs)
    nothing = np.zeros(len(pairs), dtype=bool)
    truncated, empty = nothing, nothing  # gold answers are whole, and were checked when the questions were read
    if depth > 1:
        table, rows = ((pairs.initial, pairs.answer_rows), (pairs.corrections, pairs.correction_rows))[depth - 2]
        truncated = pc.equal(table["finish_reason"], "length").to_numpy()[rows]
        blank = np.array([not text.strip() for text in samples.texts], dtype=bool)
        empty = blank[(answers, corrections)[depth - 2]]
    repeated = nothing
    if depth < 3:
        repeated = np.ones(len(pairs), dtype=bool)
        repeated[np.unique(pairs.answer_rows if depth == 2 else pairs.pair_questions, return_index=True)[1]] = False
    copy = answers == corrections if depth == 3 else nothing
    columns = Pairs(initial, correction, truncated, empty, repeated, copy)
    if not compares_pairs(settings.filter, settings.options):
        return columns
    rows = np.flatnonzero(passing(columns, settings.filter, settings.options))
    ids, texts = pairs.where(rows).pair_ids(), samples.texts
    contents = zip(ids, answers[rows].tolist(), corrections[rows].tolist(), strict=True)
    return replace(
        columns,
        question=_hashes(len(pairs), rows, [(key[0],) for key in ids]),
        content=_hashes(len(pairs), rows, [(key[0], texts[y1], texts[y2])[:depth] for key, y1, y2 in contents]),
        draw=_hashes(len(pairs), rows, [(settings.seed, "filter", *key) for key in ids]),
    )


def _hashes(length: int, rows: np.ndarray, keys: list[tuple[str | int, ...]]) -> np.ndarray:
    """int64 of this length: the hash of each key in its row, 0 elsewhere."""
    hashes = np.zeros(length, dtype=np.int64)
    hashes[rows] = [sample_seed(*key) for key in keys]
    return hashes


@dataclass(frozen=True)
class Verdicts:
    """What is said of each pair: rows of TRANSITIONS, int8; Reasons, int8; flags (see filtering.flags), uint16."""

    transitions: np.ndarray
    reasons: np.ndarray
    flags: np.ndarray

    @classmethod
    def of(cls, samples: Samples, pairs: Joined, scores: Scores, scoring: Scoring, reasons: np.ndarray) -> "Verdicts":
        chosen = samples.of_pairs(scores[scoring.chosen], pairs)
        of_texts = flags.text_flags(samples.texts, samples.golds, scoring.expects_marker)
        of_pairs = flags.of_pairs(samples.asked.flags[pairs.pair_questions], *samples.of_pairs(of_texts, pairs))
        return cls(transitions(*chosen, scoring.threshold), reasons, of_pairs)


def to_table(
    samples: Samples, pairs: Joined, scores: Scores, scoring: Scoring, split: str, verdicts: Verdicts
) -> pa.Table:
    """The trajectories of a shard: a row for each of these pairs, kept or not."""
    asked = samples.asked.table.take(pa.array(pairs.pair_questions))
    rewards = samples.rewards(scores, pairs)
    texts = samples.of_pairs(np.arange(len(samples.texts)), pairs)
    final_answers = pa.array([text[1:-1] for text in samples.texts.final.normalized], pa.string())
    columns = rewards | {
        "question_id": asked["question_id"],
        "init_index": pairs.init_index,
        "corr_index": pairs.corr_index,
        "split": pa.repeat(split, len(pairs)),
        "question": asked["question"],
        "answers": asked["answers"],
        "initial_answer": taken(pairs.initial["text"], pairs.answer_rows),
        "correction": taken(pairs.corrections["text"], pairs.correction_rows),
        "initial_final_answer": final_answers.take(pa.array(texts[0])),
        "correction_final_answer": final_answers.take(pa.array(texts[1])),
        "initial_reward": rewards[f"initial_{scoring.chosen}"],
        "correction_reward": rewards[f"correction_{scoring.chosen}"],
        "transition": pa.array(TRANSITIONS).take(pa.array(verdicts.transitions)),
        "kept": verdicts.reasons <= LAST_KEPT,
        "reason": REASONS.take(pa.array(verdicts.reasons)),
        "flags": flag_lists(verdicts.flags),
        "initial_finish_reason": taken(pairs.initial["finish_reason"], pairs.answer_rows),
        "correction_finish_reason": taken(pairs.corrections["finish_reason"], pairs.correction_rows),
        "initial_num_tokens": taken(pc.list_value_length(pairs.initial["token_ids"]), pairs.answer_rows),
        "correction_num_tokens": taken(pc.list_value_length(pairs.corrections["token_ids"]), pairs.correction_rows),
    }
    schema = trajectories_schema(scoring.rewards)
    return pa.Table.from_pydict({name: columns[name] for name in schema.names}, schema=schema)


def flag_lists(numbers: np.ndarray) -> pa.Array:
    """The names of each pair's flags; a shard has a dozen different sets of them."""
    different, rows = np.unique(numbers, return_inverse=True)
    return pa.array([flags.names(number) for number in different.tolist()], pa.list_(pa.string())).take(pa.array(rows))
