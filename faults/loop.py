"""The loop over all stages: `make iterate` killed, parts of a finished run removed or rebuilt, iterations added."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import filtering.__main__
from analysis import verify
from faults.children import run
from faults.processes import MOST_SECONDS, Place
from faults.stages import RUN, Bench, Stage, generate, publish_trained, settings, train, tree
from faults.tally import PROMISED, SILENT, STOPPED, Tally
from store.run import PLAN
from tests.conftest import ROOT

IN_ITERATION = ("", "/initial_answers", "/corrections", "/trajectories", "/sft", "/metrics.json", f"/{PLAN}")
PARTS = ("questions", "questions/_MANIFEST.json", "base_model.json", "_execution.yaml", "iter_01/checkpoint",
         *(f"iter_{number:02d}{part}" for number in (0, 1) for part in IN_ITERATION))  # fmt: skip


def chain(bench: Bench) -> list[Stage]:
    return [*bench.stages[:5], bench.training, *bench.stages[6:]]


def finished_run(bench: Bench) -> Path:
    """Return a copy of the finished run."""
    folder = bench.scratch / "loop"
    shutil.rmtree(folder, ignore_errors=True)
    return shutil.copytree(bench.whole, folder)


def removed_parts(bench: Bench) -> Tally:
    """Each part of a finished run removed, then all stages: it is rebuilt, and nothing else has changed."""
    tally = Tally("parts removed, loop run again")
    for part in PARTS:
        folder = finished_run(bench)
        path = folder / "runs" / RUN / part
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        for stage in chain(bench):
            ended = stage.run(folder)
            if ended.code:
                break
        outcome = STOPPED if ended.code else PROMISED if tree(folder) == tree(bench.whole) else SILENT
        tally.add(outcome, f"{part}: {stage.name} {ended}")
    return tally


def other_weights(bench: Bench) -> Tally:
    """M_1 is lost and retrained to other weights, as may be on a GPU: what M_1 made is moved aside and rebuilt,
    what came before stays, and every digest agrees."""
    tally = Tally("a model rebuilt, otherwise")
    folder = finished_run(bench)
    shutil.rmtree(folder / "runs" / RUN / "iter_01" / "checkpoint")
    trained = bench.scratch / "otherwise"
    shutil.rmtree(trained, ignore_errors=True)
    shutil.copytree(bench.scratch / "trained", trained)
    content = bytearray((trained / "model.safetensors").read_bytes())
    content[-4:] = bytes(4)
    (trained / "model.safetensors").write_bytes(content)
    stages = chain(bench)
    other = Stage("training", partial(publish_trained, trained), stages[5].argv, stages[5].before)
    ended = [stage.run(folder) for stage in [*stages[:5], other, *stages[6:]]]
    verified = run(verify.main, [f"run={RUN}"], folder)
    fine = not any(e.code for e in ended) and verified.code == 0
    tally.add(PROMISED if fine else STOPPED, f"{ended} {verified}")
    before, after = (
        {name: content for name, content in tree(place).items() if "iter_01" not in name}
        for place in (bench.whole, folder)
    )
    tally.add(PROMISED if before == after else SILENT, "what came before M_1 has changed")
    aside = sorted(path.name for path in (folder / "runs" / RUN / "iter_01").glob(".*superseded-00"))
    expected = [f".{name}.superseded-00" for name in ("corrections", "initial_answers", "sft", "trajectories")]
    tally.add(PROMISED if aside == expected else SILENT, f"moved aside: {aside}")
    return tally


def one_more_iteration(bench: Bench) -> Tally:
    """N=1, then N=2: the earlier iterations stay bit for bit, and only the new one is made."""
    tally = Tally("one more iteration")
    folder = finished_run(bench)
    before = tree(folder)
    third = [f"run={RUN}", "iteration=2"]
    ended = [stage.run(folder) for stage in chain(bench)]
    ended += [run(command, third, folder) for command in (train, generate, filtering.__main__.main)]
    idle = all("complete" in e.said for e in ended[2:8])
    tally.add(PROMISED if idle and not any(e.code for e in ended) else STOPPED, str(ended))
    after = tree(folder)
    kept = {name: content for name, content in after.items() if "iter_02" not in name}
    tally.add(PROMISED if kept == before and len(after) > len(before) else SILENT, "an earlier iteration has changed")
    return tally


def killed_make(bench: Bench, repetitions: int) -> Tally:
    """`make iterate` with SIGKILL to all of it, three times in a row at random moments, then to its end."""
    tally = Tally("make iterate killed three times")
    place = Place(clone(bench.scratch / "clone"), bench.scratch)
    started = time.monotonic()
    ended = make(place).wait(600)
    assert ended == 0, place.said
    seconds, whole, draw = time.monotonic() - started, tree(place.folder), random.Random(0)
    for _ in range(repetitions):
        shutil.rmtree(place.folder / "runs")
        for _ in range(3):
            process = make(place)
            time.sleep(draw.uniform(0, seconds / 2))
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            left = place.wait_for_none(MOST_SECONDS)
        code = make(place).wait(600)
        same = tree(place.folder) == whole
        outcome = STOPPED if code or left else PROMISED if same else SILENT
        tally.add(outcome, f"exit {code}, left {left}: {place.said[-500:]}")
    return tally


def clone(folder: Path) -> Path:
    """Return a folder that looks like a clone of this project, with runs of its own."""
    folder.mkdir()
    for name in (".venv", "Makefile", "requirements", *rooms()):
        (folder / name).symlink_to(ROOT / name)
    return folder


def rooms() -> Iterator[str]:
    return (path.parent.name for path in ROOT.glob("*/__init__.py"))


def make(place: Place) -> subprocess.Popen:
    """Start `make iterate N=1` in a process group of its own."""
    overrides = " ".join(settings(place.scratch))
    return place.start(["make", "iterate", "N=1", f"RUN={RUN}", f"ARGS={overrides}"])
