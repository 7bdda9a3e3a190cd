"""Workers share a plan: each its own shards first, what is left from the end, and none waits for what is published."""

import contextlib
import shutil
from collections import Counter

import pytest

from conf.stored import load
from generation import sampling
from generation.configured import settings_of
from generation.context import ShardContext
from generation.engines import open_engine
from generation.events import Reporter
from generation.jobs import ShardQueue
from generation.plan import read_plan
from generation.samples import RequestBuilder
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
    them; returns the engine and the shards in the order in which they were started."""
    workspace.start("demo", "engine.throughput.max_num_seqs=4")
    workspace.quick_stage("generation", "run=demo", "iteration=0")
    published = workspace.folder / "published"
    shutil.copytree(workspace.run("demo") / "iter_00", published)
    monkeypatch.setattr(sampling, "LOOK_SECONDS", 0)

    def fill(world, before_step=lambda number: None):
        run = Run("demo")
        settings, plan, (folder, _) = settings_of(load(run)), read_plan(run.iteration(0).dir), locate(run, 0)
        for shard in run.iteration(0).dir.rglob("*.parquet"):
            shard.unlink()
        context, tokenizer = ShardContext(run, plan), ChatTokenizer(folder)
        opened = open_engine(settings.engine, settings.sampling, "cpu", folder, tokenizer.stop_token_ids)
        engine, started = Watched(opened, before_step), []
        builder = RequestBuilder.of(settings, 0, tokenizer.encode, folder)

        class Recorder(Reporter):
            def tell(self, event, shard=None, **more):
                if event == "start":
                    started.append(shard)

        sampling.sample(ShardQueue(plan.shards, 0, world), context, engine, builder, tokenizer, Recorder())
        assert context.all_done()
        return engine, started

    with contextlib.chdir(workspace.folder):
        yield fill, published


def test_a_lone_worker_takes_its_own_shards_first(fill):
    draw, _ = fill
    plan = [shard.file for shard in read_plan(Run("demo").iteration(0).dir).shards]
    assert len(plan) == 8
    assert draw(2)[1] == [*plan[::2], *reversed(plan[1::2])]


def test_no_shard_of_others_starts_before_its_own_end(fill):
    draw, published = fill
    iteration = Run("demo").iteration(0)
    others = [shard.file for shard in read_plan(iteration.dir).shards][1::2]

    def publish_others(number):
        for table in ("initial_answers", "corrections"):
            for file in others if number == 2 else ():
                shutil.copy(published / table / file, iteration.dir / table)

    engine, started = draw(2, publish_others)
    assert not set(others) & (set(started) | engine.submitted.keys())


def test_a_shard_published_by_another_is_released(fill):
    draw, published = fill
    iteration = Run("demo").iteration(0)

    def publish_all(number):
        if number == 2:
            shutil.copytree(published, iteration.dir, dirs_exist_ok=True)

    engine, started = draw(1, publish_all)
    assert engine.num_steps == 3
    assert engine.num_in_flight > 0  # abandoned, and nobody waited for it
    assert len(started) < 8
