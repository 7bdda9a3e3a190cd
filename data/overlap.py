"""How much two splits have in common, question by question, so that metrics can be given without that part too.

Four kinds, from strict to loose: `exact` (the same text), `normalized` (the same words), `near_duplicate` (character
4-grams of the normalized texts with a Jaccard index of 0.7 or more, and of 0.5 or more without those of a template),
`shared_answer` (a common normalized gold alias).
An exact match is a normalized one too, and that a near duplicate. On Natural Questions 0.7 pairs "when s the last time
X won" with "when was the last time X won"; at 0.5 most pairs ask about different things. A template's 4-grams are in
more than 5 % of the questions seen, so "which number is larger, 47 or 82" is compared by its numbers. None of the 91
pairs of Natural Questions changes by that.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from data.rows import Question, text_key
from store.fingerprint import digest_bytes
from store.schemas import SPLITS
from store.shards import Manifest, corrupt, read_bytes

KINDS = ("exact", "normalized", "near_duplicate", "shared_answer")
NGRAM = 4
JACCARD = 0.7
TEMPLATE = 0.05  # of the questions seen: what more of them share does not tell them apart
MIN_TEMPLATE = 10  # questions, in a small set
VARYING_JACCARD = 0.5
OVERLAP = "_overlap.json"
FLAGS = {"near_duplicate": "overlap", "shared_answer": "shared_answer"}  # the two that hold the others, in trajectories


def compare_splits(splits: Mapping[str, Sequence[Question]]) -> dict[str, Any]:
    """Return the content of _overlap.json.

    counts: {"train/test": {"questions": of test, kind: how many of them}}; flags: {"train/test": {question_id of test:
    {kind: question_id of its match in train}}}, for every pair of splits, the later one's questions flagged.
    """
    pairs = [pair for pair in combinations(SPLITS, 2) if set(pair) <= splits.keys()]
    flags = {f"{seen}/{held_out}": find_overlap(splits[seen], splits[held_out]) for seen, held_out in pairs}
    counts = {
        f"{seen}/{held_out}": {"questions": len(splits[held_out])} | _counted(flags[f"{seen}/{held_out}"].values())
        for seen, held_out in pairs
    }
    limits = {"ngram": NGRAM, "jaccard": JACCARD, "template": TEMPLATE, "varying_jaccard": VARYING_JACCARD}
    return limits | {"counts": counts, "flags": flags}


def find_overlap(seen: Sequence[Question], held_out: Sequence[Question]) -> dict[str, dict[str, str]]:
    """{question_id in held_out: {kind: question_id of a match in seen}}, of those that overlap at all.

    8,757 x 3,610 questions take about a second; time grows with the product, memory with the sum.
    """
    exact = {question.question: question.question_id for question in reversed(seen)}
    normalized = {question.key: question.question_id for question in reversed(seen)}
    answers = {key: q.question_id for q in reversed(seen) for key in answer_keys(q)}
    near = _near_duplicates([question.key for question in seen], [question.key for question in held_out])
    found: dict[str, dict[str, str]] = {}
    for question, nearest in zip(held_out, near, strict=True):
        matches = {
            "exact": exact.get(question.question),
            "normalized": normalized.get(question.key),
            "near_duplicate": seen[nearest].question_id if nearest is not None else None,
            "shared_answer": next((answers[key] for key in answer_keys(question) if key in answers), None),
        }
        if any(matches.values()):
            found[question.question_id] = {kind: match for kind, match in matches.items() if match is not None}
    return found


def read_overlap(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """Return what compare_splits found for a run, from its questions folder; CorruptArtifact unless it is as
    written."""
    content = read_bytes(folder / OVERLAP)
    if digest_bytes(content) != manifest.extra["reports"][OVERLAP]:
        raise corrupt(folder / OVERLAP, "it is not the file that the manifest names")
    return json.loads(content)


def shared_with_train(overlap: Mapping[str, Any], split: str) -> dict[str, list[str]]:
    """{question_id: FLAGS} of a split's questions that have something in common with train; {} for train itself."""
    found = overlap["flags"].get(f"train/{split}", {})
    return {key: [flag for kind, flag in FLAGS.items() if kind in kinds] for key, kinds in found.items()}


def answer_keys(question: Question) -> list[str]:
    """Return the normalized gold aliases, in order."""
    return [text_key(alias) for alias in question.answers]


def ngrams(key: str) -> set[str]:
    """Return the character n-grams of a normalized text between spaces; a shorter text is its own only one."""
    padded = f" {key} "
    return {padded[i : i + NGRAM] for i in range(max(1, len(padded) - NGRAM + 1))}


class _Seen:
    """An inverted index of the n-grams of texts, which counts what a text shares with each of them."""

    def __init__(self, grams: Sequence[set[str]]):
        occurrences: dict[str, list[int]] = defaultdict(list)
        for number, of_text in enumerate(grams):
            for gram in of_text:
                occurrences[gram].append(number)
        self.index = {gram: np.array(numbers, dtype=np.int32) for gram, numbers in occurrences.items()}
        self.sizes = np.array([len(of_text) for of_text in grams], dtype=np.int64)

    def jaccard(self, grams: set[str]) -> np.ndarray:
        """Return the Jaccard index with every text; two without n-grams are the same."""
        found = [self.index[gram] for gram in grams if gram in self.index]
        shared = np.bincount(np.concatenate(found), minlength=len(self.sizes)) if found else np.zeros_like(self.sizes)
        union = self.sizes + len(grams) - shared
        return np.divide(shared, union, out=np.ones(len(union)), where=union > 0)


def _near_duplicates(seen: Sequence[str], held_out: Sequence[str]) -> list[int | None]:
    """For each text of `held_out`, which of `seen` has the highest Jaccard index, None below the limits."""
    grams = [ngrams(key) for key in seen]
    whole = _Seen(grams)
    common = max(TEMPLATE * len(seen), MIN_TEMPLATE)
    template = {gram for gram, numbers in whole.index.items() if len(numbers) > common}
    varying = _Seen([of_text - template for of_text in grams])
    nearest: list[int | None] = []
    for own in map(ngrams, held_out):
        jaccard = whole.jaccard(own) if seen else np.zeros(1)
        if jaccard.max() >= JACCARD:
            jaccard[varying.jaccard(own - template) < VARYING_JACCARD] = 0
        best = int(jaccard.argmax())
        nearest.append(best if jaccard[best] >= JACCARD else None)
    return nearest


def _counted(matches: Iterable[Mapping[str, str]]) -> dict[str, int]:
    kinds = [kind for match in matches for kind in match]
    return {kind: kinds.count(kind) for kind in KINDS}
