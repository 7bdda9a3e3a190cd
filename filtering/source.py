"""The samples of an iteration, read shard by shard and joined, with the questions they answer."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest

import pyarrow as pa

from data.errors import CorruptArtifact
from data.fingerprint import digest_bytes
from data.overlap import read_overlap, shared_with_train
from data.run import Run
from data.schemas import CORRECTIONS, INITIAL_ANSWERS, QUESTIONS
from data.shards import QUARANTINED, corrupt, iter_shards, read_bytes, required_manifest
from filtering.join import Joined, join
from filtering.trajectories import Questions


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

    def round(self, split: str, round: int) -> Iterator[tuple[str, pa.Table]]:
        """(file name, table) of every shard of a further round of correction."""
        return iter_shards(self.samples.corrections_of(round), self._rounds[round], split, CORRECTIONS)

    def questions(self, split: str) -> Questions:
        """A split's questions and gold aliases by id, with the flags of what they share with train: the one place where
        gold answers meet generated text."""
        shared = shared_with_train(read_overlap(self.run.questions, self._questions), split)
        tables = iter_shards(self.run.questions, self._questions, split, QUESTIONS)
        rows = (row for _, table in tables for row in table.select(["question_id", "question", "answers"]).to_pylist())
        return {row["question_id"]: row | {"shared": shared.get(row["question_id"], [])} for row in rows}

    def initial_answers(self, split: str) -> Iterator[pa.Table]:
        """A split's initial answers alone, shard by shard."""
        tables = iter_shards(self.samples.initial_answers, self._answers, split, INITIAL_ANSWERS)
        return (table for _, table in tables)

    def shards(self, split: str, questions: Questions) -> Iterator[tuple[str, Joined]]:
        """(file name, joined tables) of every shard of a split, one at a time; CorruptArtifact where they disagree."""
        folder, set_aside = self.samples.corrections, self._set_aside()
        answers = iter_shards(self.samples.initial_answers, self._answers, split, INITIAL_ANSWERS)
        corrections = iter_shards(folder, self._corrections, split, CORRECTIONS)
        for (name, initial), (other, table) in zip_longest(answers, corrections, fillvalue=(None, None)):
            if name != other:
                raise corrupt(folder, f"its shard {other} stands beside shard {name} of the initial answers")
            joined = join(folder / name, initial, table, self.num_corrections[split], set_aside)
            unknown = sorted(set(initial["question_id"].to_pylist()) - questions.keys())
            if unknown:
                raise corrupt(folder / name, f"{len(unknown)} questions of it are not in the run's, e.g. {unknown[:3]}")
            yield name, joined

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
