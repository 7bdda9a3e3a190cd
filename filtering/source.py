"""The samples of an iteration, read shard by shard and joined, and the questions they answer."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.overlap import read_overlap, shared_with_train
from filtering import questions
from filtering.join import Joined, join
from filtering.questions import Questions
from store.errors import CorruptArtifact
from store.fingerprint import digest_bytes
from store.run import Run
from store.schemas import CORRECTIONS, INITIAL_ANSWERS, QUESTIONS
from store.shards import QUARANTINED, corrupt, iter_shards, read_bytes, read_listed, required_manifest, split_shards

Listing = tuple[Path, dict[str, dict[str, Any]]]  # a folder, and what its manifest says of shards in it
# What joining and scoring take of the samples; prompts and token ids are half of the time of reading.
JOINED = ("question_id", "init_index", "text", "finish_reason")


class Source:
    """The finished generation stage of an iteration of `run`. num_corrections: N_corr of each split. into: the run that
    scores these samples and has the folder written to, where it is another (`samples_of`). rounds: of correction, on
    held-out questions."""

    def __init__(
        self, run: Run, iteration: int, num_corrections: dict[str, int], into: Run | None = None, rounds: int = 1
    ) -> None:
        self.run, self.samples = run, run.iteration(iteration)
        self.folder = (into or run).iteration(iteration)
        self.num_corrections = num_corrections
        made_by = f"python -m generation run={run.name} iteration={iteration}"
        self._questions = required_manifest(run.questions, f"python -m data run={run.name}")
        self._answers = required_manifest(self.samples.initial_answers, made_by)
        self._corrections = required_manifest(self.samples.corrections, made_by)
        self._listed: dict[str, tuple[Listing, Listing]] = {}
        self.further_rounds = range(2, rounds + 1)
        self._rounds = {
            round: required_manifest(self.samples.corrections_of(round), made_by) for round in self.further_rounds
        }
        corrected = self._corrections.extra["initial_answers"]
        if corrected != self._answers.digest:
            raise CorruptArtifact(
                f"{self.samples.corrections} corrects initial answers with the digest {corrected}, those in "
                f"{self.samples.initial_answers} have {self._answers.digest}: move both away and run `{made_by}` again"
            )

    @property
    def parents(self) -> dict[str, str]:
        """Digests of what is read here, for the fingerprint."""
        return {
            "questions": self._questions.digest,
            "initial_answers": self._answers.digest,
            "corrections": self._corrections.digest,
        } | {self.samples.corrections_of(round).name: manifest.digest for round, manifest in self._rounds.items()}

    @property
    def num_pairs(self) -> int:
        """How many corrections there are."""
        return self._corrections.written

    def round(self, split: str, round: int) -> Iterator[tuple[str, pa.Table]]:
        """(file name, table) of every shard of a further round of correction."""
        return iter_shards(self.samples.corrections_of(round), self._rounds[round], split, CORRECTIONS)

    def questions(self, split: str) -> Questions:
        """A split's questions and gold aliases, with the flags of what they share with train."""
        shared = shared_with_train(read_overlap(self.run.questions, self._questions), split)
        tables = iter_shards(self.run.questions, self._questions, split, QUESTIONS, questions.COLUMNS)
        return Questions((table for _, table in tables), shared)

    def initial_answers(self, split: str, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Columns of a split's initial answers alone, shard by shard."""
        tables = iter_shards(self.samples.initial_answers, self._answers, split, INITIAL_ANSWERS, columns)
        return (table for _, table in tables)

    def files(self, split: str) -> list[str]:
        """The shards of a split, in order; CorruptArtifact where the two tables have not the same."""
        answers, corrections = self._listings(split)
        for name, other in zip_longest(answers[1], corrections[1]):
            if name != other:
                why = f"its shard {other} stands beside shard {name} of the initial answers"
                raise corrupt(self.samples.corrections, why)
        return list(corrections[1])

    def shard(self, split: str, file: str, questions: Questions, more: Sequence[str] = ()) -> Joined:
        """A shard's tables, joined: the columns JOINED and `more`. CorruptArtifact where they disagree."""
        columns = (*JOINED, *more)
        (folder, entries), (other_folder, other_entries) = self._listings(split)
        initial = read_listed(folder / file, entries[file], INITIAL_ANSWERS, columns)
        columns = (*columns, "corr_index", "initial_answer")
        path = other_folder / file
        corrections = read_listed(path, other_entries[file], CORRECTIONS, columns)
        joined = join(path, initial, corrections, self.num_corrections[split], self._set_aside)
        unknown = questions.unknown(joined.question_ids.to_pylist())
        if unknown:
            raise corrupt(path, f"{len(unknown)} questions of it are not in the run's, e.g. {unknown[:3]}")
        return joined

    def _listings(self, split: str) -> tuple[Listing, Listing]:
        """Of the initial answers and of the corrections."""
        if split not in self._listed:
            answers = split_shards(self.samples.initial_answers, self._answers, split)
            self._listed[split] = answers, split_shards(self.samples.corrections, self._corrections, split)
        return self._listed[split]

    @cached_property
    def _set_aside(self) -> Counter[tuple[str, int]]:
        """How many corrections of each initial answer generation could not draw."""
        rows: Counter[tuple[str, int]] = Counter()
        if self._corrections.quarantined:
            path = self.samples.corrections / QUARANTINED
            content = read_bytes(path)
            if digest_bytes(content) != self._corrections.extra["reports"][QUARANTINED]:
                raise corrupt(path, "its content does not match the sha256 in the manifest")
            for entry in map(json.loads, content.splitlines()):
                rows[entry["question_id"], entry["init_index"]] += entry["rows"]
            if rows.total() != self._corrections.quarantined:
                raise corrupt(path, f"it lists {rows.total()} rows, the manifest {self._corrections.quarantined}")
        return rows
