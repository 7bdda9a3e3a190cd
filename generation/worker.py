"""One worker: one engine, and the shards of a planned generation stage that it gets to first.

    python -m generation.worker run=demo iteration=2 rank=0 world=4 serial=0 events=-1

Reads the plan, the questions and M_n; writes iter_n/initial_answers/*.parquet and iter_n/corrections/*.parquet.
Its own shards (index % world == rank) come first, then whatever is left, from the end: publishing is first-writer-wins,
so giving a shard to two workers costs time and nothing else, and whoever is second lets go of it. `serial=1` keeps one
shard in hand, to find the one that kills the engine; `events` is a file descriptor for progress, a JSON object a line.
"""

import faulthandler
import json
import os
import resource
import socket
import sys
import time
from collections import deque
from pathlib import Path

from conf.schema import Config, load
from generation.engines import ENGINES
from generation.engines.interface import Completion, Engine, SamplingSettings
from generation.jobs import Job, Workplace
from generation.plan import Plan, Shard, read_plan
from generation.samples import Prompting
from generation.tokenization import ChatTokenizer
from store.checkpoints import locate, verify_folder
from store.errors import PipelineError, TryAgain, stage_main
from store.processes import die_with_parent
from store.publish import publish
from store.run import Run, iteration_number, stage_arguments

KEYS = ("run", "iteration", "rank", "world", "serial", "events")
LOOK_SECONDS = 1.0  # between two looks at what other workers have published


def main(argv: list[str]) -> None:
    die_with_parent()
    arguments = stage_arguments(argv, "generation.worker", *KEYS)
    run, iteration = Run(arguments["run"]), iteration_number(arguments["iteration"])
    config, plan = load(run), read_plan(run.iteration(iteration).dir)
    emit = event_writer(int(arguments["events"]))
    try:
        work(run, config, plan, int(arguments["rank"]), int(arguments["world"]), arguments["serial"] == "1", emit)
    except PipelineError as error:
        emit(event="error", code=error.exit_code, message=str(error))
        raise
    sys.stdout.flush()
    os._exit(0)  # an engine's own shutdown may wait for threads; everything is published


def work(run: Run, config: Config, plan: Plan, rank: int, world: int, serial: bool, emit) -> None:
    """Start the engine once and fill shards until none is missing."""
    workplace = Workplace(run, plan)
    own, others = divide(plan.shards, rank, world)
    if all(map(workplace.is_done, plan.shards)):
        return
    watch(config)
    started = time.monotonic()
    folder, record = locate(run, plan.iteration)
    verify_folder(folder, record)
    tokenizer = ChatTokenizer(folder)
    engine = open_engine(config, folder, tokenizer)
    engine_seconds = time.monotonic() - started
    emit(event="engine", seconds=round(engine_seconds, 2))
    workplace.bring(engine, tokenizer, prompting(config, plan, tokenizer))
    counts = fill(own, others, workplace, engine, serial, emit, config)
    counts |= {
        "engine_starts": 1,
        "engine_start_seconds": round(engine_seconds, 3),
        "seconds": round(time.monotonic() - started, 3),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    name = f"generation-{socket.gethostname()}-{os.getpid()}.json"
    publish(run.iteration(plan.iteration).costs / name, json.dumps(counts, indent=1).encode())


def fill(
    own: list[Shard], others: list[Shard], workplace: Workplace, engine: Engine, serial: bool, emit, config: Config
) -> dict[str, int]:
    """Keep the engine full: new shards start while the corrections of earlier ones run. `others`' shards are begun when
    none of its own is left, so two workers meet in one only when one of them has nothing else to do. Returns what was
    counted."""
    waiting, later = deque(own), deque(others)
    active: dict[str, Job] = {}
    counts = {"requests": 0, "prompt_tokens": 0, "cached_tokens": 0, "generated_tokens": 0}
    looked = time.monotonic()
    while waiting or later or active:
        if not waiting and not active:
            waiting, later = later, deque()
        while waiting and not (active and (serial or engine.num_in_flight >= 2 * engine.max_num_seqs)):
            shard = waiting.popleft()
            if not workplace.is_done(shard):
                emit(event="start", shard=shard.file)
                active[shard.file] = Job(shard, workplace)
        for completion in step(engine) if active else ():
            if job := active.get(completion.key[0]):  # None: another worker has published its shard
                count(counts, job, completion)
                job.receive(completion)
        watch(config)
        emit(event="progress", **counts)
        if time.monotonic() - looked > LOOK_SECONDS:
            looked = time.monotonic()
            for job in active.values():
                job.done = job.done or workplace.is_done(job.shard)
        for file in [file for file, job in active.items() if job.done]:
            del active[file]
            emit(event="done", shard=file)
    return counts


def count(counts: dict[str, int], job: Job, completion: Completion) -> None:
    counts["requests"] += 1
    counts["prompt_tokens"] += len(job.pending[completion.key].request.prompt_token_ids)
    counts["cached_tokens"] += completion.num_cached_tokens
    counts["generated_tokens"] += len(completion.token_ids)


def step(engine: Engine):
    """One engine step; whatever it raises means the engine is gone, which a fresh worker may well survive."""
    try:
        return engine.step()
    except MemoryError:
        raise
    except Exception as error:
        raise TryAgain(f"the engine died: {type(error).__name__}: {error}") from error


def divide(shards: tuple[Shard, ...], rank: int, world: int) -> tuple[list[Shard], list[Shard]]:
    """This worker's shards in order, and the others' from the end: their own workers reach these last."""
    ranked = list(enumerate(shards))
    return [s for i, s in ranked if i % world == rank], [s for i, s in reversed(ranked) if i % world != rank]


def open_engine(config: Config, folder: Path, tokenizer: ChatTokenizer) -> Engine:
    """The configured engine on a verified model folder."""
    sampling = SamplingSettings(
        config.sampling.temperature, config.sampling.top_p, config.sampling.max_tokens,
        tokenizer.stop_token_ids, config.sampling.args,
    )  # fmt: skip
    return ENGINES[config.engine.kind](folder, sampling, config.engine.args, config.engine.throughput, config.device)


def prompting(config: Config, plan: Plan, tokenizer: ChatTokenizer) -> Prompting:
    room = config.engine.args["max_model_len"] - config.sampling.max_tokens
    return Prompting(config, plan.iteration, tokenizer.encode, room)


def watch(config: Config) -> None:
    """(Re)arm the watchdog: without a step for hang_seconds the process prints its stacks and ends. It is a thread
    in C, so an engine that holds the interpreter's lock cannot stop it."""
    faulthandler.dump_traceback_later(config.launcher.hang_seconds, exit=True)


def event_writer(descriptor: int):
    """A function that writes its keywords as a JSON line to the supervisor, or nowhere."""
    if descriptor < 0:
        return lambda **event: None
    pipe = os.fdopen(descriptor, "w", buffering=1)
    return lambda **event: print(json.dumps(event), file=pipe)


if __name__ == "__main__":
    stage_main(main)
