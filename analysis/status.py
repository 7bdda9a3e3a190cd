"""Which runs there are, or how far one is: its stages, their rows, and what they were made from.

    python -m analysis.status              every run under runs/
    python -m analysis.status run=demo     the stages of one
    python -m analysis.status run=demo watch=1     the same again and again while it runs: what does, how far, how fast

Reads manifests and records only, so it takes no time and needs neither torch nor vllm; `make verify` hashes what they
describe.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from analysis.watch import describe, working
from conf.stored import samples_run
from store.checkpoints import RECORD, read_record
from store.errors import ConfigError, Interrupted, PipelineError, stage_main
from store.run import RUNS, Run, is_run_name, stage_arguments
from store.shards import read_manifest

TABLES = ("initial_answers", "corrections", "corrections_[0-9][0-9]", "judgements", "trajectories", "rounds", "sft",
          "preferences")  # fmt: skip
EVERY_SECONDS, IDLE_SECONDS = 3, 30  # between two looks; without a stage, as between two, before a run has ended
CLEAR = "\033[H\033[J"  # a terminal's screen


@dataclass(frozen=True)
class Part:
    """A stage's folder or a model. digest: what a child names as its parent, empty where it is not finished."""

    name: str
    state: str  # finished, unfinished or damaged
    digest: str = ""
    parents: Mapping[str, str] = field(default_factory=dict)
    rows: int = 0
    quarantined: int = 0


def main(argv: list[str]) -> None:
    if not argv:
        names = sorted(path.name for path in RUNS.glob("*") if is_run_name(path.name) and path.is_dir())
        print_table([("run", "iterations", "finished up to", "samples", "quarantined"), *map(run_line, names)])
        return
    arguments = stage_arguments(["watch=", *argv], "analysis.status", "run", "watch")
    run = Run(arguments["run"])
    if not run.dir.is_dir():
        raise ConfigError(f"{run.dir} is not there: `make status` lists the runs that are")
    if arguments["watch"] not in ("", "0", "1"):
        raise ConfigError(f"watch={arguments['watch']!r} was given, 0 or 1 was expected")
    if arguments["watch"] == "1":
        watch(run)
    else:
        show(run)


def show(run: Run) -> None:
    title = ("stage", "state", "rows", "quarantined", "digest", "made from")
    print_table([title, *map(part_line, parts(run))])
    print("\n".join(describe(run)), flush=True)
    if (source := source_of(run)) != run:
        print(f"questions, models and samples are those of {source.name}: `make status RUN={source.name}`", flush=True)


def watch(run: Run) -> None:
    """Show the run every few seconds until no stage has run for a while, or Ctrl-C."""
    seen = time.monotonic()
    try:
        while (idle := time.monotonic() - seen) < IDLE_SECONDS:
            if sys.stdout.isatty():
                print(CLEAR, end="")
            show(run)
            if working(run):
                seen = time.monotonic()
            time.sleep(EVERY_SECONDS)
        print(f"no stage for {idle:.0f} s: it has ended, or waits elsewhere", flush=True)
    except Interrupted:
        print(flush=True)


def parts(run: Run) -> Iterator[Part]:
    """Yield what a run is made of, in the order it is made."""
    if source_of(run) == run:
        yield table_part(run, "questions")
    if run.base_model.exists():
        yield model_part(run, "base_model.json")
    for iteration in run.iterations():
        if iteration.checkpoint.exists():
            yield model_part(run, f"{iteration.dir.name}/checkpoint/{RECORD}")
        tables = [path for name in TABLES for path in sorted(iteration.dir.glob(name))]
        yield from (table_part(run, f"{iteration.dir.name}/{path.name}") for path in tables)


def source_of(run: Run) -> Run:
    """Return the run whose samples it scores; itself where it has its own, or no settings that can be read."""
    try:
        return samples_run(run)
    except PipelineError:
        return run


def table_part(run: Run, name: str) -> Part:
    try:
        manifest = read_manifest(run.dir / name)
    except PipelineError:
        return Part(name, "damaged")
    if manifest is None:
        return Part(name, "unfinished")
    parents = {} if name == "questions" else manifest.parents  # those of the questions are no part of the run
    return Part(name, "finished", manifest.digest, parents, manifest.written, manifest.quarantined)


def model_part(run: Run, name: str) -> Part:
    label = name.removesuffix(f"/{RECORD}")
    try:
        record = read_record(run.dir / name)
    except PipelineError:
        return Part(label, "damaged")
    return Part(label, "finished", record.digest, record.parents) if record else Part(label, "unfinished")


def run_line(name: str) -> tuple[str, ...]:
    """Describe a run: the number of its last iteration, the last of its parts before one that is not finished, its
    samples."""
    run = Run(name)
    found = list(parts(run))
    last = "nothing"
    for part in found:
        if part.state != "finished":
            last = f"{last} ({part.name} {part.state})"
            break
        last = part.name
    iterations = run.iterations()
    sampled = [part for part in found if part.name.partition("/")[2].startswith(("initial_answers", "corrections"))]
    samples, quarantined = sum(part.rows for part in sampled), sum(part.quarantined for part in sampled)
    return name, f"0..{iterations[-1].number}" if iterations else "-", last, f"{samples:,}", f"{quarantined:,}"


def part_line(part: Part) -> tuple[str, ...]:
    """Describe a part of a run, digests by their first twelve digits."""
    made_from = ", ".join(f"{name} {digest[:12]}" for name, digest in part.parents.items())
    return part.name, part.state, f"{part.rows:,}", f"{part.quarantined:,}", part.digest[:12], made_from


def print_table(lines: list[tuple[str, ...]]) -> None:
    """Columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), flush=True)


if __name__ == "__main__":
    stage_main(main)
