"""The judgements there are, and those that are added: what has been asked once is not asked again.

A shard of iter_<n>/judgements/ is whole when all texts of that shard of samples are judged. Until then every batch of
answers is a file in `.parts/` beside it, so that a killed stage loses those of the requests that were running.
"""

import math
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from judging.texts import Text
from store.errors import CorruptArtifact
from store.publish import make_folder, sweep_temporaries
from store.schemas import JUDGEMENTS
from store.shards import read_shard, write_shard

PARTS = ".parts"
FOLDER = re.compile(r"judgements|\.judgements\.superseded-\d+")


class Judgement(NamedTuple):
    """What a row says beside its key and its text."""

    score: float
    said: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    asked_in: str

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


class Table:
    """known: {key: judgement} of one judge, from this folder and those under `roots`. folder: iter_<n>/judgements;
    here: <run>/iter_<n>, as asked_in says it."""

    def __init__(self, folder: Path, header: dict[str, Any], here: str, roots: Iterable[Path]) -> None:
        self.folder, self.here = folder, here
        self._header = header
        for place in (folder, folder / PARTS):
            make_folder(place)
            sweep_temporaries(place)
        self.known: dict[str, Judgement] = {}
        self._answered: set[str] = set()  # without a judgement, in a whole shard
        for root in roots:
            for path in files(root):
                self._learn(path)

    def has(self, key: str) -> bool:
        """Return whether a text is not to be asked about: it is judged, or the judge's answer in a whole shard is no
        judgement. What got no answer is asked about again, and so is all without a judgement of a shard that was left
        unfinished: there the judge itself may have been wrong."""
        return key in self._answered or (key in self.known and math.isfinite(self.known[key].score))

    def spent(self, run: str) -> int:
        """Return the tokens that a run has spent."""
        return sum(found.tokens for found in self.known.values() if found.asked_in.startswith(f"{run}/"))

    def add(self, file: str, texts: Sequence[Text], judgements: Sequence[Judgement]) -> None:
        """Keep a batch of answers about texts of a shard."""
        self.known |= {text.key: found for text, found in zip(texts, judgements, strict=True)}
        path = self.folder / PARTS / f"{file}.{uuid.uuid4().hex}.parquet"
        write_shard(path, rows(texts, self.known), JUDGEMENTS, self._header)

    def publish(self, split: str, file: str, texts: Sequence[Text]) -> None:
        """Write a shard, all of whose texts are known, and remove its parts."""
        write_shard(self.folder / file, rows(texts, self.known), JUDGEMENTS, self._header | {"split": split})
        for part in (self.folder / PARTS).glob(f"{file}.*"):
            part.unlink()

    def close(self) -> None:
        """Remove the folder of parts, of which there are none when all shards are published."""
        for part in (self.folder / PARTS).iterdir():
            part.unlink()
        (self.folder / PARTS).rmdir()

    def _learn(self, path: Path) -> None:
        try:
            table, header = read_shard(path, JUDGEMENTS)
        except CorruptArtifact:
            if path.exists():
                raise
            return  # a part that its stage, another's, has just put into a shard
        if header["judge"] != self._header["judge"]:
            return
        for key, *values in zip(table["key"].to_pylist(), *(table[name].to_pylist() for name in Judgement._fields),
                                strict=True):  # fmt: skip
            found = Judgement(*values)
            if key not in self.known or math.isnan(self.known[key].score):
                self.known[key] = found
            if found.tokens and path.parent.name != PARTS:
                self._answered.add(key)


def files(root: Path) -> list[Path]:
    """Return the files of judgements under a folder; all that lie in it are, where it was moved from its place."""

    def is_one(path: Path) -> bool:
        below = (root.name, *path.relative_to(root).parts)
        return path.parent in (root, root / PARTS) or any(map(FOLDER.fullmatch, below))

    return list(filter(is_one, sorted(root.rglob("*.parquet"))))


def rows(texts: Iterable[Text], known: Mapping[str, Judgement]) -> pa.Table:
    """Return rows of schemas.JUDGEMENTS, one for each text."""
    keys = ({"key": text.key, "question_id": text.question_id, "text": text.text} for text in texts)
    return pa.Table.from_pylist([key | known[key["key"]]._asdict() for key in keys], schema=JUDGEMENTS)
