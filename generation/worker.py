"""One worker of a generation stage: open the engine on M_n once, sample the shards that are missing, close it.

    python -m generation.worker run=demo iteration=2 rank=0 world=4 serial=0 events=-1

Reads the plan, the questions and M_n; writes iter_n/initial_answers/*.parquet and iter_n/corrections/*.parquet
(generation/sampling.py). rank, world: its shards are those with index % world == rank, then whatever is left. serial=1:
one shard at a time, to find the one that kills the engine. events: a file descriptor for progress, a JSON object per
line.
"""

import os
import sys
import time
from contextlib import closing

from conf.stored import load
from generation.configured import settings_of
from generation.context import ShardContext
from generation.engines import open_engine
from generation.events import Reporter
from generation.jobs import ShardQueue
from generation.plan import Plan, read_plan
from generation.samples import RequestBuilder
from generation.sampling import sample
from generation.settings import Settings
from generation.tokenization import ChatTokenizer
from store.checkpoints import locate, verify_folder
from store.errors import PipelineError, stage_main
from store.processes import die_with_parent, start_guard
from store.run import Run, iteration_number, stage_arguments

KEYS = ("run", "iteration", "rank", "world", "serial", "events")


def main(argv: list[str]) -> None:
    die_with_parent()
    start_guard()
    arguments = stage_arguments(argv, "generation.worker", *KEYS)
    run, iteration = Run(arguments["run"]), iteration_number(arguments["iteration"])
    config, plan = load(run), read_plan(run.iteration(iteration).dir)
    queue = ShardQueue(plan.shards, int(arguments["rank"]), int(arguments["world"]))
    reporter = Reporter(int(arguments["events"]), config.launcher.hang_seconds)
    try:
        work(run, plan, settings_of(config), queue, reporter, serial=arguments["serial"] == "1")
    except PipelineError as error:
        reporter.tell("error", code=error.exit_code, message=str(error))
        raise
    sys.stdout.flush()
    os._exit(0)  # a library's threads may wait for each other; everything is published, and the engine is closed


def work(run: Run, plan: Plan, settings: Settings, queue: ShardQueue, reporter: Reporter, serial: bool = False) -> None:
    """Start the engine on M_n once and sample every shard that is missing."""
    context = ShardContext(run, plan)
    if context.all_done():
        return
    started = time.monotonic()
    folder, record = locate(run, plan.iteration)  # M_n; M_0 is the base model
    verify_folder(folder, record)
    tokenizer = ChatTokenizer(folder, settings.template_args, settings.sampling.args)
    stops = tokenizer.stop_token_ids
    with closing(open_engine(settings.engine, settings.sampling, settings.device, folder, stops)) as engine:
        engine_seconds = time.monotonic() - started
        reporter.tell("engine", seconds=round(engine_seconds, 2))
        builder = RequestBuilder.of(settings, plan.iteration, tokenizer.encode, folder)
        sample(queue, context, engine, builder, tokenizer, reporter, serial)
    reporter.record_costs(context.folder.stats, engine_seconds, time.monotonic() - started)


if __name__ == "__main__":
    stage_main(main)
