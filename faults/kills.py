"""A stage is killed, or one of its I/O calls fails, at each of its events in turn; then it is run again.

As promised is: every file that a reader sees in between is whole, the second run exits with 0, and the run's files are
then byte for byte those of an uninterrupted one.
"""

import errno
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from faults.children import Ended
from faults.events import NEED_SPACE, fail_at, kill_at
from faults.stages import Stage, tree
from faults.tally import PROMISED, SILENT, STOPPED, Tally
from store.machine import num_cores

SIGKILL = 0
FAULTS = {SIGKILL: "SIGKILL", errno.ENOSPC: "disk full", errno.EIO: "I/O error"}


@dataclass(frozen=True)
class Trial:
    """Runs of a stage that are cut short: at the event number that each of `cuts` gives, by a kill or an error."""

    stage: Stage
    fault: int  # SIGKILL or an errno
    cuts: tuple[int, ...]

    def __str__(self) -> str:
        events = [self.stage.events[cut - 1] for cut in self.cuts]
        return f"{self.stage.name}, {FAULTS[self.fault]} at {', then at '.join(events)}"


Result = tuple[Trial, str, str, bool]  # the outcome, what was said, whether every visible file was whole in between


def every_event(stages: Sequence[Stage], fault: int) -> Iterator[Trial]:
    """Yield a trial for each event of each stage that the fault can befall: a full disk what needs space, an I/O error
    the rest, SIGKILL all."""
    for stage in stages:
        for number, event in enumerate(stage.events, start=1):
            needs_space = event.split()[0] in NEED_SPACE
            if fault == SIGKILL or needs_space == (fault == errno.ENOSPC):
                yield Trial(stage, fault, (number,))


def triple_kills(stages: Sequence[Stage], number: int) -> Iterator[Trial]:
    """Trials that are killed three times in a row, at random events."""
    draw = random.Random(0)
    for _ in range(number):
        stage = draw.choice(stages)
        yield Trial(stage, SIGKILL, tuple(draw.randint(1, len(stage.events)) for _ in range(3)))


def tried(trials: Iterable[Trial], scratch: Path) -> Iterator[Result]:
    """Yield the trials' results, from as many processes as there are cores."""
    with get_context("fork").Pool(num_cores()) as pool:
        yield from pool.imap_unordered(partial(try_once, scratch), trials, chunksize=4)


def try_once(scratch: Path, trial: Trial) -> Result:
    """Cut the stage's runs short, then let one run to its end."""
    stage, folder = trial.stage, trial.stage.begin(scratch / f"lane-{os.getpid()}")
    whole = True
    for cut in trial.cuts:
        ended = stage.run(folder, kill_at(cut) if trial.fault == SIGKILL else fail_at(cut, trial.fault))
        whole &= all_whole(folder, stage)
        if complaint := unexpected(ended, trial):
            return trial, STOPPED, f"{complaint} {ended.said}", whole
    return trial, *finish(stage, folder), whole


def finish(stage: Stage, folder: Path) -> tuple[str, str]:
    """Run the stage to its end on what is in `folder`: the outcome, and what was said."""
    ended = stage.run(folder)
    if ended.code:
        return STOPPED, f"then exit {ended.code}: {ended.said}"
    differing = {name for name, _ in tree(folder).items() ^ stage.after.items()}
    return SILENT if differing else PROMISED, f"differs in {sorted(differing)}"


def unexpected(ended: Ended, trial: Trial) -> str:
    """Return what is wrong with how a run that was cut short ended; it may have had fewer events than `cut`."""
    if ended.code == 0:
        return ""
    if trial.fault == SIGKILL:
        return "" if ended.code == -9 else f"exit {ended.code}, not killed:"
    told = "bytes free" in ended.said and "run the same command again" in ended.said
    return "" if ended.code == 74 and told else f"exit {ended.code} for {FAULTS[trial.fault]}:"


def all_whole(folder: Path, stage: Stage) -> bool:
    """Whether every file that is not hidden is as it was before the stage or as it will be after it."""
    earlier = tree(stage.before)
    return all(
        content in (earlier.get(name), stage.after.get(name))
        for name, content in tree(folder).items()
        if not any(part.startswith(".") for part in name.split("/"))
    )


def count(results: Iterable[Result]) -> tuple[list[Tally], Tally]:
    """Return a tally for each stage, and one of what readers saw between the runs."""
    tallies: dict[str, Tally] = {}
    seen = Tally("files seen in between")
    for trial, outcome, said, whole in results:
        name = f"{FAULTS[trial.fault]}, {trial.stage.name}"
        tallies.setdefault(name, Tally(name)).add(outcome, f"{trial}: {said}")
        seen.add(PROMISED if whole else SILENT, str(trial))
    return list(tallies.values()), seen
