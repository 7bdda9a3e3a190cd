"""Verdicts: corrections that begin by saying whether the initial answer is correct (prompt.verdict).

    Yes               keeps y1, which is what is scored
    No. Paris         replaces it: "Paris" is scored
    anything else     has no verdict: a format failure, and nothing in it is scored

The word is the first of the text, in any case, in quotes or bold or not, with a mark of punctuation or the end of the
line behind it: "No one knows" is no verdict. A verdict is contradicted where something else follows than it announces:
after Yes only y1 itself may stand, after No a text that is not y1 again.
"""

import re
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from filtering.rewards.texts import Texts
from store.thinking import all_without_thinking

Words = dict[str, str]  # {keep: Yes, replace: No}
# By punctuation, a dash or the end of the line; not "No-one", and what may begin an answer ("No.-5") stays.
ENDED = r"(?!['’-]\w)(?=[^\S\n]*(?:[^\w\s]|\n|$))[^\w\s\\$€£#+(\[{-]*(?:\s+[-–—](?=\s))?\s*"
VERDICT = pl.Enum(["keep", "replace", "missing"])


def read(texts: list[str], words: Words) -> tuple[list[str], list[str]]:
    """Return of n corrections the VERDICT, and what stands behind it (all of the text where it is missing)."""
    word = "|".join(f"(?P<{name}>{re.escape(word)})" for name, word in words.items())
    pattern = re.compile(rf"\W*(?:{word}){ENDED}", re.IGNORECASE)
    found = [(pattern.match(text), text) for text in all_without_thinking(texts)]
    verdicts = ["missing" if match is None else str(match.lastgroup) for match, _ in found]
    return verdicts, [text if match is None else text[match.end() :] for match, text in found]


def answered(corrections: pa.Table, words: Words) -> tuple[pa.Table, pl.DataFrame]:
    """Return the corrections with the answer that each comes to as its text, and their columns `verdict` and
    `contradicted`; they need initial_answer."""
    y1 = corrections["initial_answer"].to_pylist()
    verdicts, behind = read(corrections["text"].to_pylist(), words)
    answers = {"keep": y1, "replace": behind, "missing": [""] * len(y1)}
    texts = [answers[verdict][row] for row, verdict in enumerate(verdicts)]
    index = corrections.schema.get_field_index("text")
    columns = {"verdict": pl.Series(verdicts, dtype=VERDICT), "contradicted": contradicted(verdicts, behind, y1)}
    return corrections.set_column(index, "text", pa.chunked_array([texts], pa.string())), pl.DataFrame(columns)


def contradicted(verdicts: list[str], behind: list[str], y1: list[str]) -> np.ndarray:
    """Return where something else stands behind the verdict than it announces, bool of shape (n,)."""
    pairs = zip(verdicts, behind, Texts(behind).final.normalized, Texts(y1).final.normalized, strict=True)
    says_otherwise = {
        "keep": lambda text, answer, first: bool(text) and answer != first,
        "replace": lambda text, answer, first: not text or answer == first,
        "missing": lambda text, answer, first: False,
    }
    return np.array([says_otherwise[verdict](*texts) for verdict, *texts in pairs], dtype=bool)


def wrong_verdict(initial_correct: pl.Expr) -> pl.Expr:
    """Return which corrections teach no verdict: none, a contradicted one, or a new answer for a correct y1. A verdict
    that keeps an incorrect y1 has its reward, which no filter takes."""
    needless = (pl.col("verdict") == "replace") & initial_correct
    return (pl.col("verdict") == "missing") | pl.col("contradicted") | needless


def summarize(counted: pl.DataFrame) -> dict[str, Any]:
    """Return a split's entry in metrics.json from counts of pairs by verdict, contradicted and initial_correct:
    `replace` taken as the claim that y1 is incorrect, its precision and recall."""

    def number(*conditions: pl.Expr) -> int:
        return int(counted.filter(*conditions)["pairs"].sum())

    replaced, incorrect = pl.col("verdict") == "replace", ~pl.col("initial_correct")
    told = number(replaced, incorrect)
    return {
        **{verdict: number(pl.col("verdict") == verdict) for verdict in VERDICT.categories},
        "contradicted": number(pl.col("contradicted")),
        "precision": told / number(replaced) if number(replaced) else None,
        "recall": told / number(incorrect) if number(incorrect) else None,
    }
