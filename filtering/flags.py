"""Flags: where In-accuracy deserves a second look. They are reported and never change a score or a selection.

Of a text: `negation` ("not Paris") and `enumeration` ("Paris, London or Rome") where In-accuracy calls the final
answer correct, and `no_final_answer`. Of a question: `gold_in_question` (repeating the question scores),
`degenerate_gold` (an alias normalizes to nothing), and what it shares with train (data.overlap): `overlap` (the
question itself, nearly) and `shared_answer`. Each is a bool column, of a pair twice for flags of texts.
"""

import re
from collections.abc import Sequence
from itertools import islice

import numpy as np

from data.overlap import FLAGS as SHARED_WITH_TRAIN
from filtering.rewards import in_accuracy
from filtering.rewards.normalize import NORMALIZED
from filtering.rewards.texts import Golds, Texts

TEXT_FLAGS = ("negation", "enumeration", "no_final_answer")
QUESTION_FLAGS = ("gold_in_question", "degenerate_gold", *SHARED_WITH_TRAIN.values())
FLAGS = (*QUESTION_FLAGS, *(f"{side}_{flag}" for side in ("initial", "correction") for flag in TEXT_FLAGS))

# As they are normalized: "isn't" is the tokens isn, t.
NEGATIONS = frozenset(
    ("not", "no", "never", "neither", "nor", "without", "cannot", "isn", "wasn", "aren", "weren", "doesn", "didn")
)
NEGATION_REACH = 3  # tokens before the alias: "is not in Paris", "isn't Paris"
CONTRASTS = frozenset(("but", "rather"))  # "not London but Paris"

CANDIDATE_END = re.compile(r"[,;/\n]|\bor\b|\band\b", re.IGNORECASE)
CANDIDATE_ENDS = (",", ";", "/", "\n", "or", "and")  # one of these is in each of them
MIN_CANDIDATES = 3
MAX_CANDIDATE_TOKENS = 5  # a longer part is a clause of a sentence


def text_flags(texts: Texts, golds: Golds, expects_marker: bool) -> dict[str, np.ndarray]:
    """Return {flag of TEXT_FLAGS: bool of shape (n,)} of n texts; `expects_marker` when the prompt asks for a marked
    final answer."""
    final = texts.final
    negation, enumeration, no_final_answer = np.zeros((len(TEXT_FLAGS), len(texts)), dtype=bool)
    found: dict[int, list[str]] = {}
    for row, (text, aliases) in enumerate(zip(final.normalized, golds.normalized, strict=True)):
        for alias in aliases:
            if alias in text:
                found[row] = [alias for alias in aliases if alias in text]
                break
        if text == " " and not final[row].strip():
            no_final_answer[row] = True
    negation[[row for row, aliases in found.items() if _is_negated(final.normalized[row], aliases)]] = True
    enumeration[_enumerations(final, found)] = True
    if expects_marker:
        unmarked = np.ones(len(texts), dtype=bool)
        unmarked[list(texts.marked)] = False
        no_final_answer |= unmarked
    return dict(zip(TEXT_FLAGS, (negation, enumeration, no_final_answer), strict=True))


def question_flags(questions: Sequence[str], golds: Golds) -> dict[str, np.ndarray]:
    """Return {gold_in_question, degenerate_gold: bool of shape (n,)} of n questions."""
    degenerate = [len(usable) < len(aliases) for aliases, usable in zip(golds, golds.normalized, strict=True)]
    return {
        "gold_in_question": in_accuracy(questions, golds).astype(bool),
        "degenerate_gold": np.array(degenerate, dtype=bool),
    }


def _is_negated(text: str, aliases: list[str]) -> bool:
    """Return whether a negation stands shortly before every occurrence of every alias."""
    for alias in aliases:
        *befores, _ = text.split(alias)
        for before in befores:
            words = before.split()[-NEGATION_REACH:]
            if NEGATIONS.isdisjoint(words) or not CONTRASTS.isdisjoint(words):
                return False
    return True


def _enumerations(answers: Sequence[str], found: dict[int, list[str]]) -> list[int]:
    """Return the rows of `found` whose answer lists candidates, and no alias in it is itself most of that list."""
    lowered = ((row, answers[row].lower()) for row in found)
    some = [row for row, text in lowered if sum(map(text.count, CANDIDATE_ENDS)) >= MIN_CANDIDATES - 1]
    parts = [CANDIDATE_END.split(answers[row]) for row in some]
    sizes = iter([part.count(" ") - 1 for part in NORMALIZED([part for each in parts for part in each])])
    rows = []
    for row, each in zip(some, parts, strict=True):
        num_tokens = list(islice(sizes, len(each)))
        num_candidates = sum(1 <= size <= MAX_CANDIDATE_TOKENS for size in num_tokens)
        longest_alias = max(alias.count(" ") - 1 for alias in found[row])
        if num_candidates >= MIN_CANDIDATES and 2 * longest_alias <= sum(num_tokens):
            rows.append(row)
    return rows
