"""A shard on its way through a worker: initial answers, then corrections, each published when it is whole."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from generation.engines.interface import Completion, Engine, Key, RequestRefused
from generation.plan import Plan, Shard
from generation.samples import Draft, Drafts, Prompting, draft_corrections, draft_initial_answers, to_table
from generation.tokenization import ChatTokenizer
from store.run import Run
from store.schemas import CORRECTIONS, INITIAL_ANSWERS, QUESTIONS
from store.shards import corrupt, iter_shards, read_shard, required_manifest, write_shard


class Workplace:
    """What every job of a worker shares: where shards lie, the questions, and, once it is started, the engine."""

    engine: Engine
    tokenizer: ChatTokenizer
    prompting: Prompting

    def __init__(self, run: Run, plan: Plan) -> None:
        self.run, self.plan = run, plan
        self.folder = run.iteration(plan.iteration)
        self._questions: dict[str, list[dict[str, Any]]] = {}

    def bring(self, engine: Engine, tokenizer: ChatTokenizer, prompting: Prompting) -> None:
        self.engine, self.tokenizer, self.prompting = engine, tokenizer, prompting

    def initial_path(self, shard: Shard) -> Path:
        source = self.run.iteration(0) if shard.split in self.plan.reused else self.folder
        return source.initial_answers / shard.file

    def path(self, shard: Shard, round: int) -> Path:
        """Of a round's corrections; round 0 is the initial answers."""
        return self.folder.corrections_of(round) / shard.file if round else self.initial_path(shard)

    def is_done(self, shard: Shard) -> bool:
        return all(self.path(shard, round).exists() for round in range(shard.num_rounds + 1))

    def planned(self, shard: Shard, round: int, header: dict[str, Any]) -> bool:
        """Whether a shard of a round, by its header, is the one to correct; iter_00's manifest names the initial
        answers that are reused."""
        if round == 0 and shard.split in self.plan.reused:
            folder = self.run.iteration(0).initial_answers
            return header["sha256"] == required_manifest(folder, "make iterate").shards[shard.file]["sha256"]
        stated = (header["lineage"], header["split"], header["questions"])
        return stated == (self.plan.lineage, shard.split, [shard.start, shard.stop])

    def questions(self, shard: Shard) -> list[dict[str, Any]]:
        """question_id, question, source of the shard's questions: gold answers stay out of generation."""
        if shard.split not in self._questions:
            manifest = required_manifest(self.run.questions, f"python -m data run={self.run.name}")
            tables = [t for _, t in iter_shards(self.run.questions, manifest, shard.split, QUESTIONS)]
            columns = pa.concat_tables(tables).select(["question_id", "question", "source"])
            self._questions[shard.split] = columns.to_pylist()
        return self._questions[shard.split][shard.start : shard.stop]

    def header(self, stage: str, shard: Shard, quarantined: list[dict[str, Any]], **more: str) -> dict[str, Any]:
        return {
            "stage": stage,
            "iteration": self.plan.iteration,
            "split": shard.split,
            "questions": [shard.start, shard.stop],
            "lineage": self.plan.lineage,
            "quarantined": quarantined,
        } | more


class Job:
    """Drafts, pending requests and completions of one shard, round by round: round 0 draws initial answers, round 1
    corrects them. `receive` every completion whose key begins with its file name; it is done when its last round is on
    disk."""

    def __init__(self, shard: Shard, workplace: Workplace) -> None:
        self.shard, self.place = shard, workplace
        self.done = False
        self.pending: dict[Key, Draft] = {}
        self._completions: dict[Key, Completion] = {}
        self._corrected_sha256 = ""
        self._drafts = Drafts([], [])
        self._begin(0)

    def receive(self, completion: Completion) -> None:
        del self.pending[completion.key]
        self._completions[completion.key] = completion
        if not self.pending:
            self._finish_round()

    def _submit(self, drafts: Drafts) -> None:
        """Hand the drafts to the engine; one it refuses is set aside, the others are not affected."""
        self.pending, self._completions = {}, {}
        accepted, quarantined = [], list(drafts.quarantined)
        for draft in drafts.rows:
            try:
                self.place.engine.submit(draft.request)
            except RequestRefused as error:
                key = {
                    name: draft.row[name] for name in ("question_id", "init_index", "corr_index") if name in draft.row
                }
                quarantined.append(key | {"code": "ENGINE_REFUSED", "detail": str(error)[:500], "rows": 1})
                continue
            accepted.append(draft)
            self.pending[draft.request.key] = draft
        self._drafts = Drafts(accepted, quarantined)
        if not accepted:
            self._finish_round()

    def _begin(self, round: int) -> None:
        """Draw what the round lacks. It corrects the texts on disk: when two workers made them, the first's."""
        self._round = round
        if self.place.path(self.shard, round).exists():
            self._after(round)
            return
        questions = self.place.questions(self.shard)
        if round == 0:
            self._submit(draft_initial_answers(self.place.prompting, self.shard, questions))
            return
        path = self.place.path(self.shard, round - 1)
        corrected, header = read_shard(path, CORRECTIONS if round > 1 else INITIAL_ANSWERS)
        if not self.place.planned(self.shard, round - 1, header):
            raise corrupt(path, "it belongs to another run, iteration, setting or place")
        self._corrected_sha256 = header["sha256"]
        self._submit(draft_corrections(self.place.prompting, self.shard, questions, corrected, round))

    def _finish_round(self) -> None:
        schema = CORRECTIONS if self._round else INITIAL_ANSWERS
        table = to_table(self._drafts, self._completions, schema, self.place.tokenizer.decode)
        quarantined = self._drafts.quarantined
        if self._round:
            header = self.place.header("corrections", self.shard, quarantined, corrected_sha256=self._corrected_sha256)
        else:
            header = self.place.header("initial_answers", self.shard, quarantined)
        write_shard(self.place.path(self.shard, self._round), table, schema, header)
        self._after(self._round)

    def _after(self, round: int) -> None:
        if round == self.shard.num_rounds:
            self.done = True
        else:
            self._begin(round + 1)
