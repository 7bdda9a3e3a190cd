"""Flags: where In-accuracy deserves a second look. They are reported and never change a score or a selection.

Of a text: `negation` ("not Paris") and `enumeration` ("Paris, London or Rome") where In-accuracy calls the final
answer right, and `no_final_answer`. Of a question: `gold_in_question` (repeating the question scores),
`degenerate_gold` (an alias normalises to nothing), and what it shares with train (data.overlap): `overlap` (the
question itself, nearly) and `shared_answer`.
"""

import re
from collections.abc import Sequence

from filtering.final_answer import after_marker
from filtering.normalize import contains_alias, normalize, padded_alias

# As `normalize` leaves them: "isn't" is the tokens isn, t.
NEGATIONS = frozenset(
    ("not", "no", "never", "neither", "nor", "without", "cannot", "isn", "wasn", "aren", "weren", "doesn", "didn")
)
NEGATION_REACH = 3  # tokens before the alias: "is not in Paris", "isn't Paris"
CONTRASTS = frozenset(("but", "rather"))  # "not London but Paris"

CANDIDATE_END = re.compile(r"[,;/\n]|\bor\b|\band\b", re.IGNORECASE)
MIN_CANDIDATES = 3
MAX_CANDIDATE_TOKENS = 5  # a longer part is a clause of a sentence


def text_flags(text: str, aliases: Sequence[str], expects_marker: bool) -> list[str]:
    """The flags of one text; `expects_marker` when the prompt asks for a marked final answer."""
    marked = after_marker(text)
    answer = text if marked is None else marked
    padded_text = f" {normalize(answer)} "
    found = [padded for alias in aliases if (padded := padded_alias(alias)) and padded in padded_text]
    flags = []
    if found and all(_is_negated(padded_text, padded) for padded in found):
        flags.append("negation")
    if found and _is_enumeration(answer, found):
        flags.append("enumeration")
    if not answer.strip() or (expects_marker and marked is None):
        flags.append("no_final_answer")
    return flags


def question_flags(question: str, aliases: Sequence[str]) -> list[str]:
    """The flags of a question and its gold aliases."""
    flags = []
    if contains_alias(normalize(question), aliases):
        flags.append("gold_in_question")
    if not all(map(padded_alias, aliases)):
        flags.append("degenerate_gold")
    return flags


def _is_negated(padded_text: str, padded: str) -> bool:
    """Whether a negation stands shortly before every occurrence of an alias."""
    *befores, _ = padded_text.split(padded)
    for before in befores:
        words = before.split()[-NEGATION_REACH:]
        if NEGATIONS.isdisjoint(words) or not CONTRASTS.isdisjoint(words):
            return False
    return True


def _is_enumeration(answer: str, found: list[str]) -> bool:
    """Whether the answer lists candidates, and no alias found is itself most of that list."""
    sizes = [len(normalize(part).split()) for part in CANDIDATE_END.split(answer)]
    num_candidates = sum(1 <= size <= MAX_CANDIDATE_TOKENS for size in sizes)
    longest_alias = max(len(padded.split()) for padded in found)
    return num_candidates >= MIN_CANDIDATES and 2 * longest_alias <= sum(sizes)
