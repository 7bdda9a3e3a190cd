"""A shard on its way through a worker, turn by turn: initial answers, then corrections, each published when whole."""

from collections import deque
from collections.abc import Callable
from typing import Any

from generation.context import ShardContext, schema_of
from generation.engines.interface import Completion, Key
from generation.plan import Shard
from generation.samples import PendingSample, RequestBuilder, draft_corrections, draft_initial_answers, to_table


class Job:
    """One shard: `draft` a turn's samples, `receive` their completions (or `quarantine` what the engine refuses),
    `publish` the turn, and so on until `done`. pending: the samples that have not come back."""

    def __init__(
        self, shard: Shard, context: ShardContext, builder: RequestBuilder, decode: Callable[[list[int]], str]
    ) -> None:
        self.shard, self.context, self.builder, self.decode = shard, context, builder, decode
        self.done = False
        self.pending: dict[Key, PendingSample] = {}
        self._turn = -1
        self._samples: dict[Key, PendingSample] = {}
        self._completions: dict[Key, Completion] = {}
        self._quarantined: list[dict[str, Any]] = []
        self._header: dict[str, str] = {}

    def draft(self) -> list[PendingSample]:
        """Return the samples of the first turn that is not on disk; none, and the job is done, where all are.

        A correction is of the text on disk: where two workers sampled it, the first one's.
        """
        self._turn += 1
        while self._turn <= self.shard.num_rounds and self.context.path(self.shard, self._turn).exists():
            self._turn += 1
        if self._turn > self.shard.num_rounds:
            self.done = True
            return []
        questions = self.context.questions(self.shard)
        if self._turn == 0:
            drafts, self._header = draft_initial_answers(self.builder, self.shard, questions), {}
        else:
            corrected, header = self.context.read(self.shard, self._turn - 1)
            drafts = draft_corrections(self.builder, self.shard, questions, corrected, self._turn)
            self._header = {"corrected_sha256": header["sha256"]}
        self._samples = {sample.request.key: sample for sample in drafts.samples}
        self.pending, self._completions, self._quarantined = dict(self._samples), {}, list(drafts.quarantined)
        return drafts.samples

    def receive(self, completion: Completion) -> int:
        """Take a sample that has come back; return the tokens of its prompt."""
        self._completions[completion.key] = completion
        return len(self.pending.pop(completion.key).request.prompt_token_ids)

    def quarantine(self, sample: PendingSample, error: Exception) -> None:
        """Record a sample that the engine refuses; the others are not affected."""
        del self.pending[sample.request.key], self._samples[sample.request.key]
        key = {name: sample.row[name] for name in ("question_id", "init_index", "corr_index") if name in sample.row}
        self._quarantined.append(key | {"code": "ENGINE_REFUSED", "detail": str(error)[:500], "rows": 1})

    def publish(self) -> None:
        """Write the turn that is whole; before the first one there is none."""
        if self._turn < 0:
            return
        assert not self.pending, f"{self.shard.file}: {len(self.pending)} samples have not come back"
        table = to_table(list(self._samples.values()), self._completions, schema_of(self._turn), self.decode)
        self.context.write(self.shard, self._turn, table, self._quarantined, **self._header)


class ShardQueue:
    """The shards a worker has not started: its own (index % world == rank), then the others', from the end.

    The others' are handed out once none of its own is left and it has nothing else to do, so two workers meet in one
    shard only when one of them is idle; publishing is first-writer-wins, so that costs time and nothing else.
    """

    def __init__(self, shards: tuple[Shard, ...], rank: int, world: int) -> None:
        ranked = list(enumerate(shards))
        self._own = deque(shard for index, shard in ranked if index % world == rank)
        self._others = deque(shard for index, shard in reversed(ranked) if index % world != rank)

    def __bool__(self) -> bool:
        return bool(self._own or self._others)

    def next(self, idle: bool) -> Shard | None:
        """Return the next shard, None where there is none for now. idle: the worker has no shard in progress."""
        if idle and not self._own:
            self._own, self._others = self._others, deque()
        return self._own.popleft() if self._own else None
