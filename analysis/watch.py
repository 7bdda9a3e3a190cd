"""What a run is doing at this moment: read from its lock, its plan and the shards that are there, without a lock.

A stage writes its process into the run's lock file when it begins. Samples count once their shard is published.
"""

import os
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from store.run import PLAN, Iteration, Run
from store.shards import read_object, shard_name

HOLDER = re.compile(r"process (\d+) on (\S+)")
STAGES = ("conf", "data", "training.base_model", "generation", "judging", "filtering", "training")


@dataclass(frozen=True)
class Working:
    """The stage that holds a run. iteration: the argument of that name, None for stages without one; since: seconds
    since the epoch."""

    stage: str
    iteration: int | None
    process: int
    since: float


def working(run: Run) -> Working | None:
    """Return the stage that holds the run on this machine, None where there is none."""
    try:
        lock = run.dir / ".lock"
        match = HOLDER.match(lock.read_text())
        if match is None or match[2] != socket.gethostname():
            return None
        arguments = Path(f"/proc/{match[1]}/cmdline").read_text(errors="replace").split("\0")
        since = lock.stat().st_mtime
    except OSError:  # no lock, no such process
        return None
    stage = next((word for word in arguments if word in STAGES), None)
    if stage is None or f"run={run.name}" not in arguments:
        return None  # another process has that number now
    numbers = [word.partition("=")[2] for word in arguments if word.startswith("iteration=")]
    return Working(stage, int(numbers[0]) if numbers else None, int(match[1]), since)


def describe(run: Run) -> list[str]:
    """Return what runs, for how long, and for generation how far it is; a line that says so where nothing does."""
    found = working(run)
    if found is None:
        return ["nothing of it runs on this machine"]
    of = "" if found.iteration is None else f" of iter_{found.iteration:02d}"
    lines = [f"running: {found.stage}{of}, for {time.time() - found.since:,.0f} s (process {found.process})"]
    if found.stage == "generation" and found.iteration is not None:
        lines += samples_so_far(run.iteration(found.iteration), found.since)
    return lines


def samples_so_far(iteration: Iteration, since: float) -> list[str]:
    """Return the samples that are published, and what is left at the rate of those published since the stage began;
    nothing before there is a plan."""
    if not (iteration.dir / PLAN).exists():
        return []
    done, fresh, planned, last = 0, 0, 0, since
    for path, size in planned_shards(iteration):
        planned += size
        if path.exists():
            published = os.stat(path).st_mtime
            done += size
            if published >= since:
                fresh, last = fresh + size, max(last, published)
    line = f"samples: {done:,} of {planned:,} in published shards"
    if fresh and last > since and done < planned:
        rate = fresh / (last - since)
        line += f", {rate:,.1f}/s since it began, at that rate about {(planned - done) / rate:,.0f} s left"
    return [line]


def planned_shards(iteration: Iteration) -> list[tuple[Path, int]]:
    """Return every file that an iteration's generation will publish, with its samples."""
    plan = read_object(iteration.dir / PLAN)
    found = []
    for shard in plan["shards"]:
        name = shard_name(shard["split"], shard["index"], shard["count"])
        answers = (shard["stop"] - shard["start"]) * shard["num_initial"]
        if shard["split"] not in plan["reused"]:
            found.append((iteration.initial_answers / name, answers))
        for round in range(1, shard["num_rounds"] + 1):
            found.append((iteration.corrections_of(round) / name, answers * shard["num_corrections"]))
    return found
