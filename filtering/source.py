"""The samples of an iteration, read shard by shard, and the questions they answer."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from data.overlap import FLAGS, read_overlap, shared_with_train
from filtering.judged import Judgements
from store.errors import CorruptArtifact
from store.fingerprint import digest_bytes
from store.run import Run
from store.schemas import CORRECTIONS, INITIAL_ANSWERS, JUDGEMENTS, QUESTIONS, questions
from store.shards import QUARANTINED, corrupt, iter_shards, read_bytes, read_listed, required_manifest, split_shards

Listing = tuple[Path, dict[str, dict[str, Any]]]  # a folder, and what its manifest says of shards in it
# What joining and scoring take of the samples; prompts and token ids are half of the time of reading.
SAMPLED = ("question_id", "init_index", "text", "finish_reason")


class Source:
    """The finished generation stage of an iteration of `run`. num_corrections: N_corr of each split. into: the run that
    scores these samples and has the folder written to, where it is another (`samples_of`). rounds: of correction, on
    held-out questions. judged: `into` has judgements of the texts."""

    def __init__(
        self, run: Run, iteration: int, num_corrections: dict[str, int], into: Run | None = None, rounds: int = 1,
        judged: bool = False,
    ) -> None:  # fmt: skip
        self.run, self.samples = run, run.iteration(iteration)
        self.folder = (into or run).iteration(iteration)
        self.num_corrections = num_corrections
        made_by = f"python -m generation run={run.name} iteration={iteration}"
        self._questions = required_manifest(run.questions, f"python -m data run={run.name}")
        self._answers = required_manifest(self.samples.initial_answers, made_by)
        self._corrections = required_manifest(self.samples.corrections, made_by)
        self._listed: dict[str, tuple[Listing, Listing]] = {}
        self._asked: tuple[str, pa.Table, dict[str, int]] = ("", QUESTIONS.empty_table(), {})
        self.further_rounds = range(2, rounds + 1)
        self._rounds = {
            turn: required_manifest(self.samples.corrections_of(turn), made_by) for turn in self.further_rounds
        }
        asked_by = f"python -m judging run={(into or run).name} iteration={iteration}"
        self.judged = required_manifest(self.folder.judgements, asked_by) if judged else None
        corrected = self._corrections.extra["initial_answers"]
        if corrected != self._answers.digest:
            raise CorruptArtifact(
                f"{self.samples.corrections} corrects initial answers with the digest {corrected}, those in "
                f"{self.samples.initial_answers} have {self._answers.digest}: move both away and run `{made_by}` again"
            )

    @property
    def parents(self) -> dict[str, str]:
        """Return the digests of what is read here, for the fingerprint."""
        return {
            "questions": self._questions.digest,
            "initial_answers": self._answers.digest,
            "corrections": self._corrections.digest,
            **{self.samples.corrections_of(turn).name: manifest.digest for turn, manifest in self._rounds.items()},
            **({"judgements": self.judged.digest} if self.judged else {}),
        }

    @property
    def num_pairs(self) -> int:
        """Return how many corrections there are."""
        return self._corrections.written

    def questions(self, split: str, path: Path, ids: list[str]) -> pa.Table:
        """Return the questions x_i of a split with these ids, with their gold answers, further columns and, by the
        names of data.overlap.FLAGS, what they have in common with train. CorruptArtifact where samples in `path` have
        others."""
        if self._asked[0] != split:  # of the last split asked for
            schema = questions(self._questions.settings)
            names = [name for name in schema.names if name not in ("split", "source")]
            shared = shared_with_train(read_overlap(self.run.questions, self._questions), split)
            tables = [table for _, table in iter_shards(self.run.questions, self._questions, split, schema, names)]
            table = pa.concat_tables(tables).combine_chunks()
            rows = {key: row for row, key in enumerate(table["question_id"].to_pylist())}
            for name in FLAGS.values():
                table = table.append_column(name, pa.array([name in shared.get(key, ()) for key in rows], pa.bool_()))
            self._asked = split, table, rows
        _, table, rows = self._asked
        if unknown := sorted(set(ids) - rows.keys()):
            raise corrupt(path, f"{len(unknown)} questions of it are not in the run's, e.g. {unknown[:3]}")
        return table.take(pa.array([rows[key] for key in ids], pa.int64()))

    def files(self, split: str) -> list[str]:
        """Return the shards of a split, in order; CorruptArtifact where the two tables have not the same."""
        answers, corrections = self._listings(split)
        for name, other in zip_longest(answers[1], corrections[1]):
            if name != other:
                why = f"its shard {other} stands beside shard {name} of the initial answers"
                raise corrupt(self.samples.corrections, why)
        return list(corrections[1])

    def read(self, split: str, file: str, *more: str) -> tuple[Path, pa.Table, pa.Table]:
        """Return the path of a shard of corrections, its initial answers y1_ij and its corrections y2_ijk: the columns
        SAMPLED and `more`."""
        (folder, entries), (other_folder, other_entries) = self._listings(split)
        path = other_folder / file
        own = [name for name in more if name in INITIAL_ANSWERS.names]
        initial = read_listed(folder / file, entries[file], INITIAL_ANSWERS, (*SAMPLED, *own))
        corrections = read_listed(path, other_entries[file], CORRECTIONS, (*SAMPLED, "corr_index", *more))
        return path, initial, corrections

    def initial_answers(self, split: str, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield columns of a split's initial answers alone, shard by shard."""
        for _, table in iter_shards(self.samples.initial_answers, self._answers, split, INITIAL_ANSWERS, columns):
            yield pl.DataFrame(pl.from_arrow(table))

    def round(self, split: str, turn: int) -> Iterator[tuple[Path, pl.DataFrame]]:
        """Yield (path, table) of every shard of a further round of correction."""
        columns = ("question_id", "init_index", "corr_index", "initial_answer", "text", "token_ids")
        folder, manifest = self.samples.corrections_of(turn), self._rounds[turn]
        for file, table in iter_shards(folder, manifest, split, CORRECTIONS, columns):
            yield folder / file, pl.DataFrame(pl.from_arrow(table))

    def judgements(self, file: str) -> Judgements | None:
        """Return what the judge said of the texts of a shard, of all turns; None where there is no judge."""
        if self.judged is None:
            return None
        path, judge = self.folder.judgements / file, self.judged.extra["judge"]
        if file not in self.judged.shards:
            raise corrupt(path, "its manifest does not name it")
        table = read_listed(path, self.judged.shards[file], JUDGEMENTS, ("key", "score"))
        return Judgements.of(path, judge, self.judged.extra["shows_golds"], table)

    @cached_property
    def quarantined(self) -> Counter[tuple[str, int]]:
        """How many corrections of each initial answer generation could not sample."""
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

    def _listings(self, split: str) -> tuple[Listing, Listing]:
        """Return those of the initial answers and of the corrections."""
        if split not in self._listed:
            answers = split_shards(self.samples.initial_answers, self._answers, split)
            self._listed[split] = answers, split_shards(self.samples.corrections, self._corrections, split)
        return self._listed[split]
