"""What further rounds of correction come to on held-out questions: every text scored with the chosen reward."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filtering.filters import is_correct
from filtering.questions import Questions
from filtering.rewards import REWARDS
from filtering.settings import Scoring
from filtering.source import Source
from store.schemas import ROUNDS


def to_table(corrections: pa.Table, questions: Questions, scoring: Scoring, split: str, round: int) -> pa.Table:
    """A shard of a round's corrections with their rewards. A text that cannot be scored is wrong, with reward NaN."""
    ids = corrections["question_id"].combine_chunks().dictionary_encode()
    answers = questions.asked(ids.dictionary.to_pylist()).answers
    golds = [answers[row] for row in ids.indices.to_pylist()]
    reward = REWARDS[scoring.chosen](corrections["text"].to_pylist(), golds)
    columns = {
        "question_id": corrections["question_id"],
        "init_index": corrections["init_index"],
        "corr_index": corrections["corr_index"],
        "round": np.full(len(golds), round, dtype=np.int32),
        "split": [split] * len(golds),
        "corrected": corrections["initial_answer"],
        "correction": corrections["text"],
        "reward": reward,
        "correct": is_correct(reward, scoring.threshold),
        "num_tokens": pc.list_value_length(corrections["token_ids"]),
    }
    return pa.Table.from_pydict({name: columns[name] for name in ROUNDS.names}, schema=ROUNDS)


def tables(source: Source, scoring: Scoring, split: str, questions: Questions) -> dict[str, pa.Table]:
    """{file: rounds 2 and on} of a split's shards."""
    found: dict[str, list[pa.Table]] = {}
    for round in source.further_rounds:
        for file, corrections in source.round(split, round):
            found.setdefault(file, []).append(to_table(corrections, questions, scoring, split, round))
    return {file: pa.concat_tables(parts) for file, parts in found.items()}


def summarize(parts: list[pa.Table]) -> list[dict[str, Any]]:
    """A split's entries in metrics.json, one per round."""
    counts: dict[int, Counter[str]] = {}
    for table in parts:
        copies = pc.equal(table["corrected"], table["correction"])
        columns = (table["round"], table["correct"], copies, table["num_tokens"])
        for round, correct, copy, tokens in zip(*(column.to_pylist() for column in columns), strict=True):
            counts.setdefault(round, Counter()).update(texts=1, correct=correct, copies=copy, tokens=tokens)
    return [
        {
            "round": round,
            "num_texts": count["texts"],
            "num_correct": count["correct"],
            "accuracy": count["correct"] / count["texts"],
            "copy_rate": count["copies"] / count["texts"],
            "num_tokens": count["tokens"],
        }
        for round, count in sorted(counts.items())
    ]
