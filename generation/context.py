"""Where the shards of a planned stage lie, what they answer, and how each one says what it is."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from generation.plan import Plan, Shard
from store.run import Run
from store.schemas import CORRECTIONS, INITIAL_ANSWERS, questions
from store.shards import corrupt, iter_shards, read_shard, required_manifest, write_shard


class ShardContext:
    """The tables of a planned stage. Turn 0 of a shard is its initial answers, turn 1 their corrections, and each
    further turn (held-out questions, eval.rounds) corrects the turn before."""

    def __init__(self, run: Run, plan: Plan) -> None:
        self.run, self.plan = run, plan
        self.folder = run.iteration(plan.iteration)
        self._questions: dict[str, list[dict[str, Any]]] = {}

    def path(self, shard: Shard, turn: int) -> Path:
        """Return the file of a shard's turn; reused initial answers are iter_00's."""
        if turn:
            return self.folder.corrections_of(turn) / shard.file
        source = self.run.iteration(0) if shard.split in self.plan.reused else self.folder
        return source.initial_answers / shard.file

    def is_done(self, shard: Shard) -> bool:
        """Return whether every turn of a shard is on disk."""
        return all(self.path(shard, turn).exists() for turn in range(shard.num_rounds + 1))

    def all_done(self) -> bool:
        """Return whether every planned shard is on disk."""
        return all(map(self.is_done, self.plan.shards))

    def questions(self, shard: Shard) -> list[dict[str, Any]]:
        """Return question_id, question, source and prompt.columns of a shard's questions: gold answers stay out of
        generation."""
        if shard.split not in self._questions:
            manifest = required_manifest(self.run.questions, f"python -m data run={self.run.name}")
            more = self.plan.settings["prompt"].get("columns", ())
            names, schema = ("question_id", "question", "source", *more), questions(manifest.settings)
            tables = [t for _, t in iter_shards(self.run.questions, manifest, shard.split, schema, names)]
            self._questions[shard.split] = pa.concat_tables(tables).to_pylist()
        return self._questions[shard.split][shard.start : shard.stop]

    def read(self, shard: Shard, turn: int) -> tuple[pa.Table, dict[str, Any]]:
        """Return the rows and the header of a turn on disk; CorruptArtifact where it is not this plan's."""
        path = self.path(shard, turn)
        table, header = read_shard(path, schema_of(turn))
        if not self._is_planned(shard, turn, header):
            raise corrupt(path, "it belongs to another run, iteration, setting or place")
        return table, header

    def write(self, shard: Shard, turn: int, table: pa.Table, quarantined: list[dict[str, Any]], **more: str) -> None:
        """Publish a turn of a shard; the first writer wins. more: further entries of the header."""
        stage = "corrections" if turn else "initial_answers"
        header = {
            "stage": stage,
            "iteration": self.plan.iteration,
            "split": shard.split,
            "questions": [shard.start, shard.stop],
            "fingerprint": self.plan.fingerprint,
            "quarantined": quarantined,
        }
        write_shard(self.path(shard, turn), table, schema_of(turn), header | more)

    def _is_planned(self, shard: Shard, turn: int, header: dict[str, Any]) -> bool:
        """iter_00's manifest names the initial answers that are reused; all others carry this plan's lineage."""
        if turn == 0 and shard.split in self.plan.reused:
            folder = self.run.iteration(0).initial_answers
            return header["sha256"] == required_manifest(folder, "make iterate").shards[shard.file]["sha256"]
        stated = (header["fingerprint"], header["split"], header["questions"])
        return stated == (self.plan.fingerprint, shard.split, [shard.start, shard.stop])


def schema_of(turn: int) -> pa.Schema:
    """Return the schema of a turn's table."""
    return CORRECTIONS if turn else INITIAL_ANSWERS
