"""The samples of an iteration, read shard by shard and joined, with the questions they answer."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest

from data.errors import CorruptArtifact
from data.fingerprint import digest_bytes
from data.run import Run
from data.schemas import CORRECTIONS, INITIAL_ANSWERS, QUESTIONS
from data.shards import QUARANTINED, corrupt, iter_shards, read_bytes, required_manifest
from filtering.join import Joined, join
from filtering.trajectories import Questions


class Source:
    """The finished generation stage of an iteration. num_corrections: N_corr of each split."""

    def __init__(self, run: Run, iteration: int, num_corrections: dict[str, int]) -> None:
        self.run, self.folder = run, run.iteration(iteration)
        self.num_corrections = num_corrections
        made_by = f"python -m generation run={run.name} iteration={iteration}"
        self._questions = required_manifest(run.questions, f"python -m data run={run.name}")
        self._answers = required_manifest(self.folder.initial_answers, made_by)
        self._corrections = required_manifest(self.folder.corrections, made_by)
        corrected = self._corrections.extra["initial_answers"]
        if corrected != self._answers.digest:
            raise CorruptArtifact(
                f"{self.folder.corrections} corrects initial answers with the digest {corrected}, those in "
                f"{self.folder.initial_answers} have {self._answers.digest}: move both away and run `{made_by}` again"
            )

    @property
    def parents(self) -> dict[str, str]:
        """Digests of what is read here, for the fingerprint."""
        return {
            "questions": self._questions.digest,
            "initial_answers": self._answers.digest,
            "corrections": self._corrections.digest,
        }

    def questions(self, split: str) -> Questions:
        """A split's questions and gold aliases by id: the one place where gold answers meet generated text."""
        tables = iter_shards(self.run.questions, self._questions, split, QUESTIONS)
        columns = ["question_id", "question", "answers"]
        return {row["question_id"]: row for _, table in tables for row in table.select(columns).to_pylist()}

    def shards(self, split: str, questions: Questions) -> Iterator[tuple[str, Joined]]:
        """(file name, joined tables) of every shard of a split, one at a time; CorruptArtifact where they disagree."""
        folder, set_aside = self.folder.corrections, self._set_aside()
        answers = iter_shards(self.folder.initial_answers, self._answers, split, INITIAL_ANSWERS)
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
            path = self.folder.corrections / QUARANTINED
            content = read_bytes(path)
            if digest_bytes(content) != self._corrections.extra["reports"][QUARANTINED]:
                raise corrupt(path, "its content does not match the sha256 in the manifest")
            for entry in map(json.loads, content.splitlines()):
                rows[entry["question_id"], entry["init_index"]] += entry["rows"]
            if rows.total() != self._corrections.quarantined:
                raise corrupt(path, f"it lists {rows.total()} rows, the manifest {self._corrections.quarantined}")
        return rows
