"""One worker: steps 1 and 2 of Algorithm 1 (arXiv 2503.08681) for the shards of a planned stage, with one engine.

    python -m generation.worker run=demo iteration=2 rank=0 world=4 serial=0 events=-1

    draft      y1_ij ~ M(x_i), j = 1..N_init; once a shard's y1 are on disk, y2_ijk ~ M(x_i, y1_ij), k = 1..N_corr
    submit     one request per sample, with a seed of its own, into the engine's running batch
    step       every running request by about a token
    publish    a shard's turn as soon as it is whole: one Parquet file, and the first writer wins

Reads the plan, the questions and M_n; writes iter_n/initial_answers/*.parquet and iter_n/corrections/*.parquet.
rank, world: its shards are those with index % world == rank, then whatever is left. serial=1: one shard at a time, to
find the one that kills the engine. events: a file descriptor for progress, a JSON object per line.
"""

import os
import sys
import time
from contextlib import closing

from conf.schema import Config, load
from generation.context import ShardContext
from generation.engines import open_engine
from generation.engines.interface import Engine, RequestRefused
from generation.events import Reporter
from generation.jobs import Job, ShardQueue
from generation.plan import Plan, read_plan
from generation.samples import RequestBuilder
from generation.tokenization import ChatTokenizer
from store.checkpoints import locate, verify_folder
from store.errors import PipelineError, TryAgain, stage_main
from store.processes import die_with_parent, start_guard
from store.run import Run, iteration_number, stage_arguments

KEYS = ("run", "iteration", "rank", "world", "serial", "events")
LOOK_SECONDS = 1.0  # between two looks at what other workers have published


def main(argv: list[str]) -> None:
    die_with_parent()
    start_guard()
    arguments = stage_arguments(argv, "generation.worker", *KEYS)
    run, iteration = Run(arguments["run"]), iteration_number(arguments["iteration"])
    config, plan = load(run), read_plan(run.iteration(iteration).dir)
    queue = ShardQueue(plan.shards, int(arguments["rank"]), int(arguments["world"]))
    reporter = Reporter(int(arguments["events"]), config.launcher.hang_seconds)
    try:
        work(run, config, plan, queue, reporter, serial=arguments["serial"] == "1")
    except PipelineError as error:
        reporter.tell("error", code=error.exit_code, message=str(error))
        raise
    sys.stdout.flush()
    os._exit(0)  # a library's threads may wait for each other; everything is published, and the engine is closed


def work(run: Run, config: Config, plan: Plan, queue: ShardQueue, reporter: Reporter, serial: bool = False) -> None:
    """Start the engine on M_n once and sample every shard that is missing."""
    context = ShardContext(run, plan)
    if context.all_done():
        return
    started = time.monotonic()
    folder, record = locate(run, plan.iteration)  # M_n; M_0 is the base model
    verify_folder(folder, record)
    tokenizer = ChatTokenizer(folder, config.model.template_args, config.sampling.args)
    stops = tokenizer.stop_token_ids
    with closing(open_engine(config.engine, config.sampling, config.device, folder, stops)) as engine:
        engine_seconds = time.monotonic() - started
        reporter.tell("engine", seconds=round(engine_seconds, 2))
        builder = RequestBuilder.of(config, plan.iteration, tokenizer.encode, folder)
        sample(queue, context, engine, builder, tokenizer, reporter, serial)
    reporter.record_costs(context.folder.costs, engine_seconds, time.monotonic() - started)


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
            if job := active.get(completion.key[0]):  # None: another worker has published its shard
                reporter.sampled(completion, job.receive(completion))
                advance(job, engine)
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


if __name__ == "__main__":
    stage_main(main)
