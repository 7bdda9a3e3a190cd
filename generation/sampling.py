"""Steps 1 and 2 of Algorithm 1 (arXiv 2503.08681) for the shards of a planned stage, on one engine.

    draft      y1_ij ~ M(x_i), j = 1..N_init; once a shard's y1 are on disk, y2_ijk ~ M(x_i, y1_ij), k = 1..N_corr
    submit     one request per sample, with a seed of its own, into the engine's running batch
    step       every running request by about a token
    publish    a shard's turn as soon as it is whole: one Parquet file, and the first writer wins

generation/worker.py starts the engine and calls `sample`.
"""

import time

from generation.context import ShardContext
from generation.engines.interface import Engine, RequestRefused
from generation.events import Reporter
from generation.jobs import Job, ShardQueue
from generation.samples import RequestBuilder
from generation.tokenization import ChatTokenizer
from store.errors import TryAgain

LOOK_SECONDS = 1.0  # between two looks at what other workers have published


def sample(
    queue: ShardQueue, context: ShardContext, engine: Engine, builder: RequestBuilder, tokenizer: ChatTokenizer,
    reporter: Reporter, serial: bool = False,
) -> None:  # fmt: skip
    """Keep the engine full until no shard is missing: new shards start while the corrections of earlier ones run."""
    active: dict[str, Job] = {}
    looked = time.monotonic()
    while queue or active:
        while not active or (not serial and engine.num_in_flight < 2 * engine.max_num_seqs):
            if (shard := queue.next(idle=not active)) is None:
                break
            if not context.is_done(shard):
                reporter.tell("start", shard=shard.file)
                active[shard.file] = job = Job(shard, context, builder, tokenizer.decode)
                advance(job, engine)
        try:
            completions = engine.step() if active else []
        except MemoryError:
            raise
        except Exception as error:  # a fresh worker may well survive what this one did not
            raise TryAgain(f"the engine died: {type(error).__name__}: {error}") from error
        for completion in completions:
            owner = active.get(completion.key[0])  # None: another worker has published its shard
            if owner is not None:
                reporter.sampled(completion, owner.receive(completion))
                advance(owner, engine)
        reporter.stepped()
        if time.monotonic() - looked > LOOK_SECONDS:
            looked = time.monotonic()
            for job in active.values():
                job.done = job.done or context.is_done(job.shard)
        for file in [file for file, job in active.items() if job.done]:
            del active[file]
            reporter.tell("done", shard=file)


def advance(job: Job, engine: Engine) -> None:
    """Publish a turn that is whole and submit the next one; nothing while samples are pending."""
    while not job.pending and not job.done:
        job.publish()
        for pending in job.draft():  # y1_ij ~ M(x_i), then y2_ijk ~ M(x_i, y1_ij) for the y1_ij on disk
            try:
                engine.submit(pending.request)
            except RequestRefused as error:
                job.quarantine(pending, error)
