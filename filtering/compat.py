"""Switches that repeat what the authors' code does and their paper (arXiv 2503.08681) does not say; all off by default.

Cross pairing, Non-decreasing as D= alone, scoring the whole text, and training on another prompt than was answered.
"""

import re
from collections.abc import Sequence

import numpy as np

PLACEHOLDER = re.compile(r"\{(question|initial_answer)\}")
Messages = Sequence[dict[str, str]]


def cross_pairs(question: np.ndarray, init_index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every correction paired with every initial answer of its question: N_init^2 * N_corr pairs, not N_init * N_corr.

    question, init_index: the columns of the corrections, shape (n,). Returns (prompt_rows, correction_rows): pair i
    has the prompt and the initial answer of correction prompt_rows[i] and the text of correction correction_rows[i].
    Pairs are ordered by question as first met, then by initial answer, then by correction.
    """
    first_rows: dict[int, dict[int, int]] = {}
    members: dict[int, list[int]] = {}
    for row, (key, j) in enumerate(zip(question.tolist(), init_index.tolist(), strict=True)):
        first_rows.setdefault(key, {}).setdefault(j, row)
        members.setdefault(key, []).append(row)
    pairs = [(prompt, row) for key in members for prompt in first_rows[key].values() for row in members[key]]
    prompt_rows, correction_rows = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return prompt_rows, correction_rows


def equal_only_filter(name: str) -> str:
    """The authors' N filter keeps D= alone, so their published N curves are of copies only."""
    return "equal_only" if name == "non_decreasing" else name


def whole_text_score(reward: str) -> str:
    """The authors score the whole text, where "not Paris" and a list of candidates are right."""
    return "in_accuracy" if reward == "in_accuracy_final" else reward


def separate_prompt(messages: Messages, question: str, initial_answer: str) -> list[dict[str, str]]:
    """The authors train on a prompt without examples, in other words, that has the initial answer in a user's turn."""
    values = {"question": question, "initial_answer": initial_answer}
    return [m | {"content": PLACEHOLDER.sub(lambda found: values[found[1]], m["content"])} for m in messages]
