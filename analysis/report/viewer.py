"""The trajectories in the file: columns and codes instead of rows and words, compressed, for viewer.js."""

import base64
import gzip
import json
from typing import Any

from analysis.counts import TRANSITIONS
from analysis.report.pairs import Pairs
from analysis.report.record import RunRecord
from analysis.taxonomy import CATEGORIES
from data.schemas import SPLITS


class Vocabulary(dict[str, int]):
    """Texts by number, each stored once: 5 corrections share their initial answer, and many are copies of it."""

    def __missing__(self, text: str) -> int:
        self[text] = len(self)
        return self[text]


def embed(record: RunRecord, pairs: Pairs) -> str:
    """Base64 of the gzipped JSON of viewer_data: no text in it can end the element it stands in."""
    content = json.dumps(viewer_data(record, pairs), separators=(",", ":"), ensure_ascii=False).encode()
    return base64.b64encode(gzip.compress(content, compresslevel=6, mtime=0)).decode()


def viewer_data(record: RunRecord, pairs: Pairs) -> dict[str, Any]:
    """What trajectories.js reads: `texts` and `questions` by number, and one list per column of the pairs."""
    texts, flags, reasons, questions = Vocabulary(), Vocabulary(), Vocabulary(), Vocabulary()
    rewards = record.iterations[0].manifests["trajectories"].settings["scoring"]["rewards"]
    categories, splits = list(CATEGORIES), list(SPLITS)
    details = {row["question_id"]: row for row in pairs.shown}
    rows = [
        {
            "question": questions[row["question_id"]],
            "split": splits.index(row["split"]),
            "iteration": row["iteration"],
            "init": row["init_index"],
            "corr": row["corr_index"],
            "initial": texts[row["initial_answer"]],
            "correction": texts[row["correction"]],
            "transition": TRANSITIONS.index(row["transition"]),
            "category": categories.index(row["category"]),
            "kept": int(row["kept"]),
            "reason": reasons[row["reason"]],
            "flags": [flags[flag] for flag in row["flags"]],
            "cut": [row["initial_finish_reason"] == "length", row["correction_finish_reason"] == "length"],
            "tokens": [row["initial_num_tokens"], row["correction_num_tokens"]],
        }
        | {f"{side}_{name}": rounded(row[f"{side}_{name}"]) for name in rewards for side in ("initial", "correction")}
        for row in pairs.shown
    ]
    return {
        "splits": splits,
        "iterations": [iteration.number for iteration in record.iterations],
        "transitions": list(TRANSITIONS),
        "categories": categories,
        "rewards": rewards,
        "texts": list(texts),
        "flags": list(flags),
        "reasons": list(reasons),
        "questions": [
            {"id": key, "question": details[key]["question"], "answers": details[key]["answers"]} for key in questions
        ],
        "pairs": {name: [row[name] for row in rows] for name in rows[0]},
    }


def coverage(record: RunRecord, chosen: dict[str, set[str]]) -> dict[str, tuple[int, int]]:
    """{split: (questions shown, questions of the run)}."""
    last = record.iterations[-1].counts
    return {split: (len(chosen[split]), len(last[split].question_ids)) for split in SPLITS}


def rounded(reward: float) -> float:
    """Four digits are enough for the eye and half the file."""
    return round(reward, 4)
