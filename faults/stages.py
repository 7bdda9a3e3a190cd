"""A small run, taken through all stages once: what each begins with, what it does, and the tree it leaves.

The stages are the project's own, in forks of this process. Two things are left out: the supervisor of generation (its
worker is called instead), and the two seconds of training, which would be spent thousands of times (its weights are
given; what lays them out, checks and publishes them is not left out).
"""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path

import conf.__main__
import data.__main__
import filtering.__main__
import generation.__main__
import generation.tokenization
import training.__main__
import training.base_model.__main__
from conf.stored import load
from faults import control
from faults.children import Command, Ended, run
from faults.events import Act, Watch, log_to
from generation import worker
from generation.configured import settings_of
from generation.events import Reporter
from generation.jobs import ShardQueue
from generation.plan import Plan
from store.run import Run
from tests.conftest import QUESTIONS, make_tiny_model

RUN = "demo"
UNEQUAL = (".lock", "logs", "stats")  # what equal runs may differ in, beside temporary files
MEMORY = Path("/dev/shm")  # of a trial's 0.2 s on a disk with fsyncs of 6 ms, 0.1 s are these
TOO_LONG = {"question": f"60: {'amber or ' * 700}red?", "answers": ["amber"]}  # quarantined by generation

Tree = dict[str, bytes]


@dataclass(frozen=True)
class Stage:
    """before: the folder it starts in; after: the run's files once it is done; events: those of a whole run, in order;
    naive: without the protocol (faults.control)."""

    name: str
    command: Command
    argv: list[str]
    before: Path
    naive: bool = False
    after: Tree | None = None
    events: tuple[str, ...] = ()

    def begin(self, folder: Path) -> Path:
        """Make `folder` what the stage starts in."""
        shutil.rmtree(folder, ignore_errors=True)
        return shutil.copytree(self.before, folder)

    def run(self, folder: Path, act: Act | None = None) -> Ended:
        """Run the stage in `folder`; `act` is told every event before it happens."""

        def prepare() -> None:
            if self.naive:
                control.install()
            if act:
                Watch(folder, act)

        return run(self.command, self.argv, folder, prepare)

    def whole(self, folder: Path) -> "Stage":
        """Return the stage with what one uninterrupted run of it does in `folder`."""
        log = folder.parent / "events"
        ended = self.run(folder, log_to(log))
        assert ended.code == 0, f"{self.name}: {ended.said}"
        return replace(self, after=tree(folder), events=tuple(log.read_text().splitlines()))


@dataclass(frozen=True)
class Bench:
    """scratch: where everything lies; whole: the folder of the finished run; stages: in order, training with
    its weights given; naive: the same without the protocol; training: that stage as it is."""

    scratch: Path
    whole: Path
    stages: list[Stage]
    naive: list[Stage]
    training: Stage


def settings(scratch: Path, model: str = "model") -> list[str]:
    """Return the overrides of the run: some 20 + 10 + 10 questions in shards of 8, with fixed initial answers."""
    return [
        "device=cpu", "engine=fake", "data=local", f"data.files.questions.path={scratch / 'questions.jsonl'}",
        "data.train=null", "data.validation=null", "data.test=null", f"model.path={scratch / model}", "strategy=FNE",
        "reward=in_accuracy", "prompt.answer_marker=null", "sampling.num_initial=2", "sampling.num_corrections=2",
        "launcher.shard_questions=8", "training.args.learning_rate=0.01", "training.args.bf16=false",
        "training.stop_check.num_prompts=0",
    ]  # fmt: skip


def generate(argv: list[str]) -> None:
    """Run the generation stage with one worker, in this process and without a watchdog, which a fork
    cannot take over."""

    def launch(run: Run, plan: Plan, *_: object) -> None:
        worker.work(run, plan, settings_of(load(run)), ShardQueue(plan.shards, 0, 1), Reporter())

    generation.__main__.LAUNCHERS["local"] = launch
    generation.__main__.main(argv)


def publish_trained(trained: Path, argv: list[str]) -> None:
    """Run the training stage with the weights in `trained` for those it would train."""
    from training import trainer

    log = [{"step": 1, "loss": 1.0, "grad_norm": 1.0, "learning_rate": 1.0}]
    trainer.train = lambda *_: trainer.Trained(trained, 1, 0, 1, 1.0, log)
    training.__main__.main(argv)


def train(argv: list[str]) -> None:
    """Run the training stage on one core: its sums then have one order."""
    import torch

    torch.set_num_threads(1)
    training.__main__.main(argv)


def chain(scratch: Path) -> list[tuple[str, Command, list[str]]]:
    """Return what `make iterate N=1` runs, by name."""
    first, second = [f"run={RUN}", "iteration=0"], [f"run={RUN}", "iteration=1"]
    return [
        ("configuration", conf.__main__.main, [f"run={RUN}", *settings(scratch)]),
        ("questions", data.__main__.main, [f"run={RUN}"]),
        ("base model", training.base_model.__main__.main, [f"run={RUN}"]),
        ("generation", generate, first),
        ("filtering", filtering.__main__.main, first),
        ("training", train, second),
        ("generation, answers reused", generate, second),
        ("filtering, answers reused", filtering.__main__.main, second),
    ]


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a folder for all that is tried, in memory where there is room: what an fsync does to a disk is not tried
    here."""
    room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 1 << 30
    with tempfile.TemporaryDirectory(prefix="stasc-faults-", dir=MEMORY if room else None) as folder:
        yield Path(folder)


def prepare(scratch: Path) -> Bench:
    """Take the run through all stages in `scratch`."""
    for name in ("trainer", "model_folder", "memory", "postflight"):  # ten seconds, once: children have them then
        import_module(f"training.{name}")
    questions = [*QUESTIONS[:40], TOO_LONG]
    (scratch / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
    made = run(lambda argv: make_tiny_model(scratch / "model"), [], scratch)  # in a child: torch starts no threads here
    assert made.code == 0, made.said
    whole, stages = scratch / "whole", []
    whole.mkdir()
    for number, step in enumerate(chain(scratch)):
        before = shutil.copytree(whole, scratch / f"before-{number}")
        stages.append(Stage(*step, before).whole(whole))
    real = next(stage for stage in stages if stage.name == "training")
    trained = shutil.copytree(whole / "runs" / RUN / "iter_01" / "checkpoint", scratch / "trained")
    given = replace(real, command=partial(publish_trained, trained))
    stages[stages.index(real)] = again(given, scratch)
    return Bench(scratch, whole, stages, [again(replace(stage, naive=True), scratch) for stage in stages], real)


def again(stage: Stage, scratch: Path) -> Stage:
    """Return a variant of a stage, run whole; it must leave the same tree."""
    other = stage.whole(stage.begin(scratch / "again"))
    differing = {name for name, _ in other.after.items() ^ stage.after.items()}
    assert not differing, f"{stage.name}: {sorted(differing)} differ between equal runs"
    return other


def tree(folder: Path) -> Tree:
    """Every file of the run, but for its lock, costs and temporary files."""
    files = {}
    for path in sorted((folder / "runs" / RUN).rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not set(parts) & set(UNEQUAL) and not path.name.endswith(".tmp"):
            files["/".join(parts)] = path.read_bytes()
    return files
