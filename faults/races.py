"""Several processes at the same work: the files of one, no row twice, none missing; or 75 and who holds the run."""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

import filtering.__main__
from conf.stored import load
from faults import control
from faults.children import nothing, run, start
from faults.stages import RUN, Bench, Stage, tree
from faults.tally import PROMISED, SILENT, STOPPED, Tally
from generation import worker
from generation.configured import plan_of, settings_of
from generation.engines.deterministic import FakeEngine
from generation.events import Reporter
from generation.jobs import ShardQueue
from generation.manifests import write_manifests
from generation.plan import load_or_write_plan, read_plan
from store.run import Run

NUM_PROCESSES = (2, 3, 4, 8)
HELD = 75


def generation_stage(bench: Bench, naive: bool) -> Stage:
    return next(s for s in (bench.naive if naive else bench.stages) if s.name == "generation")


def plan(argv: list[str]) -> None:
    config = load(Run(RUN))
    load_or_write_plan(Run(RUN).iteration(0).dir, plan_of(Run(RUN), config, 0))


def work(argv: list[str], rank: int = 0, world: int = 1) -> None:
    """One worker; by default one of one, so that every shard is everybody's, in the same order."""
    run_ = Run(RUN)
    plan_ = read_plan(run_.iteration(0).dir)
    worker.work(run_, plan_, settings_of(load(run_)), ShardQueue(plan_.shards, rank, world), Reporter())


def sum_up(argv: list[str]) -> None:
    write_manifests(Run(RUN), read_plan(Run(RUN).iteration(0).dir))


def undetermined() -> None:
    """Let the engine of this process answer otherwise than that of any other, as on a GPU."""
    answer = FakeEngine._complete
    turn = os.getpid()

    def complete(self, request):
        shifted = request.prompt_token_ids[turn % 7 :] or request.prompt_token_ids
        return answer(self, type(request)(request.key, shifted, request.seed + turn))

    FakeEngine._complete = complete


def workers(bench: Bench, repetitions: int, naive: bool = False) -> Tally:
    """2 to 8 workers on all shards at once: the tree of an uninterrupted run."""
    tally = Tally("workers on the same shards")
    stage = generation_stage(bench, naive)
    for number in NUM_PROCESSES * repetitions:
        folder = race(bench, stage, number, control.install if naive else nothing)
        ended = stage.run(folder)
        same = tree(folder) == stage.after
        outcome = STOPPED if ended.code else PROMISED if same else SILENT
        tally.add(outcome, f"{number} workers: {ended}")
    return tally


def race(bench: Bench, stage: Stage, number: int, prepare: Callable[[], object]) -> Path:
    """Plan the stage and let `number` workers loose on it."""
    folder = stage.begin(bench.scratch / "race")
    run(plan, [], folder, prepare)
    children = [start(work, [], folder, prepare) for _ in range(number)]
    for child in children:
        child.wait()
    return folder


def undetermined_workers(bench: Bench, repetitions: int) -> Tally:
    """Return the same with engines that never answer alike: every planned row is there once, and each correction is of
    the initial answer that was published."""
    tally = Tally("workers that answer differently")
    stage = generation_stage(bench, naive=False)
    whole = rows(bench.whole)
    for number in NUM_PROCESSES * repetitions:
        folder = race(bench, stage, number, undetermined)
        summed = run(sum_up, [], folder)
        filtered = run(filtering.__main__.main, stage.argv, folder)
        problem = summed.code or filtered.code
        outcome = STOPPED if problem else PROMISED if rows(folder) == whole else SILENT
        tally.add(outcome, f"{number} workers: {summed} {filtered}")
    return tally


def rows(folder: Path) -> Counter[tuple]:
    """How often each key of iteration 0's samples and pairs is there, whatever the text."""
    keys: Counter[tuple] = Counter()
    for table in ("initial_answers", "corrections", "trajectories"):
        for path in sorted((folder / "runs" / RUN / "iter_00" / table).glob("*.parquet")):
            content = pq.read_table(path)
            names = [name for name in ("question_id", "init_index", "corr_index") if name in content.column_names]
            keys.update((table, *row.values()) for row in content.select(names).to_pylist())
    return keys


def same_commands(bench: Bench, repetitions: int) -> Tally:
    """2 to 8 times the same command at once: one works, the others say 75 and who holds the run; then it is done."""
    tally = Tally("the same command at once")
    for stage in bench.stages:
        for number in NUM_PROCESSES * repetitions:
            folder = stage.begin(bench.scratch / "race")
            children = [start(stage.command, stage.argv, folder) for _ in range(number)]
            ended = [child.wait() for child in children]
            polite = all(e.code == 0 or (e.code == HELD and "is held by" in e.said) for e in ended)
            done = any(e.code == 0 for e in ended) and tree(folder) == stage.after
            outcome = STOPPED if not polite else PROMISED if done else SILENT
            tally.add(outcome, f"{stage.name}, {number} at once: {ended}")
    return tally


def clocks(bench: Bench) -> Tally:
    """Every file's times set to yesterday, tomorrow, 1970 or one moment: a finished stage stays finished."""
    tally = Tally("clocks")
    day = 86_400
    now = os.stat(bench.whole).st_mtime
    for name, when in {"yesterday": now - day, "tomorrow": now + day, "1970": 0.0, "2100": 4.1e9}.items():
        folder = bench.scratch / "clocks"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(bench.whole, folder)
        for order in (1, -1, 0):
            paths = sorted(path for path in folder.rglob("*") if path.is_file())
            for number, path in enumerate(paths):
                os.utime(path, (when, max(0.0, when + order * number)))
            for stage in [*bench.stages[:5], bench.training, *bench.stages[6:]]:
                ended = stage.run(folder)
                idle = ended.code == 0 and "moved" not in ended.said
                outcome = PROMISED if idle and tree(folder) == tree(bench.whole) else SILENT
                tally.add(outcome, f"{name}, {stage.name}: {ended}")
    return tally
