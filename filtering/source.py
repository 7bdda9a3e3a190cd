"""The samples of an iteration, read shard by shard and joined."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from data.errors import CorruptArtifact
from data.run import Run
from data.schemas import CORRECTIONS, INITIAL_ANSWERS, QUESTIONS
from data.shards import Manifest, corrupt, iter_shards, read_bytes, required_manifest
from filtering.join import Joined, join
from filtering.trajectories import Questions


class Source:
    """The finished generation stage of M_n and the questions it answered; the three manifests are read at once."""

    def __init__(self, run: Run, iteration: int) -> None:
        self.folder = run.iteration(iteration)
        self._run = run
        made_by = f"python -m generation run={run.name} iteration={iteration}"
        self.questions_manifest = required_manifest(run.questions, f"python -m data run={run.name}")
        self.answers_manifest = required_manifest(self.folder.initial_answers, made_by)
        self.corrections_manifest = required_manifest(self.folder.corrections, made_by)
        corrected = self.corrections_manifest.extra["initial_answers"]
        if corrected != self.answers_manifest.digest:
            raise CorruptArtifact(
                f"{self.folder.corrections} corrects the initial answers with digest {corrected}, those in "
                f"{self.folder.initial_answers} have {self.answers_manifest.digest}: run `{made_by}` again"
            )

    @property
    def parents(self) -> dict[str, str]:
        """The digests that a fingerprint names."""
        return {
            "questions": self.questions_manifest.digest,
            "initial_answers": self.answers_manifest.digest,
            "corrections": self.corrections_manifest.digest,
        }

    def questions(self, split: str) -> Questions:
        """question_id -> question and gold aliases: the only place where gold answers meet generated text."""
        tables = iter_shards(self._run.questions, self.questions_manifest, split, QUESTIONS)
        columns = ["question_id", "question", "answers"]
        return {row["question_id"]: row for _, table in tables for row in table.select(columns).to_pylist()}

    def shards(self, split: str, num_corrections: int) -> Iterator[tuple[str, Joined]]:
        """(file name, joined tables) of every shard of a split, in order, one in memory at a time."""
        answers = iter_shards(self.folder.initial_answers, self.answers_manifest, split, INITIAL_ANSWERS)
        corrections = dict_of_names(self.corrections_manifest, split)
        tables = iter_shards(self.folder.corrections, self.corrections_manifest, split, CORRECTIONS)
