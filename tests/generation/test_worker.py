"""Workers share a plan: each its own shards first, what is left from the end, and none waits for what is published."""

import contextlib
import shutil
from collections import Counter

import pytest

from conf.schema import load
from generation import worker
from generation.jobs import Workplace
from generation.plan import read_plan
from generation.tokenization import ChatTokenizer
from store.checkpoints import locate
from store.run import Run


class Watched:
    """An engine that tells `before_step` how many steps it has made, and counts the requests of each shard."""

    def __init__(self, engine, before_step) -> None:
        self.engine, self.before_step, self.num_steps, self.submitted = engine, before_step, 0, Counter()
        self.max_num_seqs = engine.max_num_seqs

    @property
    def num_in_flight(self) -> int:
        return self.engine.num_in_flight

    def submit(self, request) -> None:
        self.submitted[request.key[0]] += 1
        self.engine.submit(request)

    def step(self):
        self.before_step(self.num_steps)
        self.num_steps += 1
        return self.engine.step()


@pytest.fixture
def fill(workspace, monkeypatch):
    """A function that fills a plan's shards as worker 0 of `world`, and the folder with all of them as another made
    them; returns the engine and the shards in the order in which they were begun."""
    workspace.start("demo", "engine.throughput.max_num_seqs=4")
    workspace.stage("generation", "run=demo", "iteration=0")
    published = workspace.folder / "published"
    shutil.copytree(workspace.run("demo") / "iter_00", published)
    monkeypatch.setattr(worker, "watch", lambda config: None)
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0)

    def fill(world, before_step=lambda number: None):
        run = Run("demo")
        config, plan, (folder, _) = load(run), read_plan(run.iteration(0).dir), locate(run, 0)
        for shard in run.iteration(0).dir.rglob("*.parquet"):
            shard.unlink()
        workplace, tokenizer = Workplace(run, plan), ChatTokenizer(folder)
        engine = Watched(worker.open_engine(config, folder, tokenizer), before_step)
        workplace.bring(engine, tokenizer, worker.prompting(config, plan, tokenizer))
        begun = []

        def emit(event, shard=None, **counts):
            if event == "start":
                begun.append(shard)

        worker.fill(*worker.divide(plan.shards, 0, world), workplace, engine, False, emit, config)
        assert all(map(workplace.is_done, plan.shards))
        return engine, begun

    with contextlib.chdir(workspace.folder):
        yield fill, published


def test_a_worker_alone_fills_its_own_shards_in_order_and_the_others_from_the_end(fill):
    draw, _ = fill
    plan = [shard.file for shard in read_plan(Run("demo").iteration(0).dir).shards]
    assert len(plan) == 8
    assert draw(2)[1] == [*plan[::2], *reversed(plan[1::2])]


def test_nothing_of_another_workers_is_begun_while_a_shard_of_its_own_is_in_hand(fill):
    draw, published = fill
    iteration = Run("demo").iteration(0)
    others = [shard.file for shard in read_plan(iteration.dir).shards][1::2]

    def publish_others(number):
        for table in ("initial_answers", "corrections"):
            for file in others if number == 2 else ():
                shutil.copy(published / table / file, iteration.dir / table)

    engine, begun = draw(2, publish_others)
    assert not set(others) & (set(begun) | engine.submitted.keys())


def test_a_shard_that_another_worker_publishes_meanwhile_is_let_go(fill):
    draw, published = fill
    iteration = Run("demo").iteration(0)

    def publish_all(number):
        if number == 2:
            shutil.copytree(published, iteration.dir, dirs_exist_ok=True)

    engine, begun = draw(1, publish_all)
    assert engine.num_steps == 3
    assert engine.num_in_flight > 0  # abandoned, and nobody waited for it
    assert len(begun) < 8
