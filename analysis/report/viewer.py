"""The trajectories in the file: columns and codes instead of rows and words, compressed, for trajectories.js."""

import base64
import gzip
import json
from array import array
from typing import Any

import pyarrow as pa

from analysis.record import RunRecord
from analysis.stats.taxonomy import CATEGORIES
from store.schemas import SPLITS, TRANSITIONS

SIDES = ("initial", "correction")


class Vocabulary(dict[str, int]):
    """Texts by number, each stored once: 5 corrections share their initial answer, and many are copies of it."""

    def __missing__(self, text: str) -> int:
        self[text] = len(self)
        return self[text]


class Shown:
    """The pairs that the viewer holds, as it reads them, a shard at a time: 0.5 kB each beside their texts.

    A list per column; questions, texts, reasons and flags by number.
    """

    def __init__(self, rewards: list[str]) -> None:
        self.rewards = rewards
        self.texts, self.flags, self.reasons, self.questions = (Vocabulary() for _ in range(4))
        self.details: list[dict[str, Any]] = []  # of a question, by its number
        self.columns: dict[str, Any] = {name: array("i") for name in ("question", "split", "iteration", "init", "corr")}
        self.columns |= {name: array("i") for name in ("initial", "correction", "transition", "category", "kept")}
        self.columns |= {"reason": array("i"), "flags": [], "cut": [], "tokens": []}
        self.columns |= {f"{side}_{name}": array("d") for name in rewards for side in SIDES}

    def add(self, table: pa.Table, iteration: int, categories: list[str]) -> None:
        """Add some rows of a shard, with the category of each."""
        column = {name: table[name].to_pylist() for name in table.column_names}
        cut = ([reason == "length" for reason in column[f"{side}_finish_reason"]] for side in SIDES)
        added: dict[str, Any] = {
            "question": map(self.question, column["question_id"], column["question"], column["answers"]),
            "split": map(SPLITS.index, column["split"]),
            "iteration": [iteration] * table.num_rows,
            "init": column["init_index"],
            "corr": column["corr_index"],
            "transition": map(TRANSITIONS.index, column["transition"]),
            "category": map(list(CATEGORIES).index, categories),
            "kept": map(int, column["kept"]),
            "reason": map(self.reasons.__getitem__, column["reason"]),
            "flags": (tuple(map(self.flags.__getitem__, flags)) for flags in column["flags"]),
            "cut": zip(*cut, strict=True),
            "tokens": zip(*(column[f"{side}_num_tokens"] for side in SIDES), strict=True),
        }
        for name in self.rewards:
            added |= {f"{side}_{name}": map(rounded, column[f"{side}_{name}"]) for side in SIDES}
        for name, values in added.items():
            self.columns[name].extend(values)
        for initial, correction in zip(column["initial_answer"], column["correction"], strict=True):
            self.columns["initial"].append(self.texts[initial])
            self.columns["correction"].append(self.texts[correction])

    def question(self, question_id: str, question: str, answers: list[str]) -> int:
        """Return a question's number; a new one is kept."""
        number = self.questions[question_id]
        if number == len(self.details):
            self.details.append({"id": question_id, "question": question, "answers": answers})
        return number


def embed(record: RunRecord, shown: Shown) -> str:
    """Base64 of the gzipped JSON of viewer_data: no text in it can end the element it stands in."""
    content = json.dumps(viewer_data(record, shown), separators=(",", ":"), ensure_ascii=False).encode()
    return base64.b64encode(gzip.compress(content, compresslevel=6, mtime=0)).decode()


def viewer_data(record: RunRecord, shown: Shown) -> dict[str, Any]:
    """Return what trajectories.js reads: `texts` and `questions` by number, and one list per column of the pairs."""
    return {
        "splits": list(SPLITS),
        "iterations": [iteration.number for iteration in record.iterations],
        "transitions": list(TRANSITIONS),
        "categories": list(CATEGORIES),
        "rewards": shown.rewards,
        "texts": list(shown.texts),
        "flags": list(shown.flags),
        "reasons": list(shown.reasons),
        "questions": shown.details,
        "pairs": {name: list(values) for name, values in shown.columns.items()},
    }


def coverage(record: RunRecord, chosen: dict[str, set[str]]) -> dict[str, tuple[int, int]]:
    """{split: (questions shown, questions of the run)}."""
    last = record.iterations[-1].counts
    return {split: (len(chosen[split]), len(last[split].question_ids)) for split in SPLITS}


def rounded(reward: float) -> float:
    """Four digits are enough for the eye and half the file."""
    return round(reward, 4)
