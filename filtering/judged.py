"""The reward `judge`: what a judge has said of a text, read from iter_<n>/judgements/ (python -m judging)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from store.errors import CorruptArtifact
from store.fingerprint import digest


@dataclass(frozen=True)
class Judgements:
    """Those of a shard. path: its file; judge: the judge's digest; scores: {key: probability of Yes}."""

    path: Path
    judge: str
    shows_golds: bool
    scores: Mapping[str, float]

    @classmethod
    def of(cls, path: Path, judge: str, shows_golds: bool, table: pa.Table) -> "Judgements":
        """Take a table's columns key and score."""
        scores = dict(zip(table["key"].to_pylist(), table["score"].to_pylist(), strict=True))
        return cls(path, judge, shows_golds, scores)

    def score(self, questions: Sequence[str], texts: Sequence[str], golds: Sequence[Sequence[str]]) -> np.ndarray:
        """Return the judge's scores of n texts, float32 of shape (n,), NaN for what it could not judge. CorruptArtifact
        for a text that it has not seen."""
        rows = zip(questions, texts, golds, strict=True)
        keys = [key_of(self.judge, question, text, golds, self.shows_golds) for question, text, golds in rows]
        if unseen := [text for key, text in zip(keys, texts, strict=True) if key not in self.scores]:
            raise CorruptArtifact(
                f"{self.path} has no judgement of {len(unseen):,} of {len(texts):,} texts, e.g. {unseen[0]!r:.200}: "
                f"move {self.path.parent} away and run `python -m judging` for this iteration; with judge.table=<where "
                "it is> what it holds is not asked again"
            )
        return np.array([self.scores[key] for key in keys], np.float32)


def key_of(judge: str, question: str, text: str, golds: Sequence[str], shows_golds: bool) -> str:
    """Return the key of a judgement: whatever a judge is shown, and who it is."""
    return digest([judge, question, text, list(golds) if shows_golds else None])
