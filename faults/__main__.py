"""Every fault that docs/reliability.md speaks of, tried and counted; the same for a writer without the protocol.

    python -m faults                  all of it: some fifteen minutes on two idle cores
    python -m faults kills damage     some of its parts
    python -m faults real             make iterate on SmolLM2, killed ten times; fifteen minutes, in no other part

Prints the table; exit code 1 and examples when one promise was not kept.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterator
from errno import EIO, ENOSPC
from functools import partial
from itertools import islice

from faults import (
    damage,
    full_disk,
    hostile,
    kills,
    layouts,
    loop,
    misplaced,
    names,
    power,
    processes,
    races,
    real,
    rows,
    settings,
)
from faults.kills import SIGKILL, Trial
from faults.stages import Bench, prepare, scratch_folder
from faults.tally import Tally, merged, table

Pair = tuple[Tally, Tally | None]  # of the project, and of the control where it has one
# The control is tried with one fault of so many, so that its half of the table takes less time than the other.
CONTROL_KILLS, CONTROL_DAMAGE, CONTROL_SETTINGS = 8, 5, 8


def kills_part(bench: Bench) -> Iterator[Pair]:
    """SIGKILL at every event by stage, a full disk or an I/O error at each, kills in a row, kills in training."""
    by_stage, seen = cut(bench, partial(kills.every_event, fault=SIGKILL))
    yield from by_stage
    all_seen = [seen]
    for name, trials in TRIALS.items():
        pairs, seen = cut(bench, trials)
        yield both(name, pairs)
        all_seen.append(seen)
    yield both("files seen in between", all_seen)
    events = bench.training.events
    spread = (Trial(bench.training, SIGKILL, (len(events) * part // 12 + 1,)) for part in range(12))
    tallies, _ = kills.count(kills.tried(spread, bench.scratch))
    yield both("SIGKILL while training", [(tally, None) for tally in tallies])


def cut(bench: Bench, trials: Callable[..., Iterator[Trial]]) -> tuple[list[Pair], Pair]:
    """Return a pair for each stage, and the one of the files that readers saw in between."""
    ours, seen = kills.count(kills.tried(trials(bench.stages), bench.scratch))
    some = islice(trials(bench.naive), 0, None, CONTROL_KILLS)
    theirs, control_seen = kills.count(kills.tried(some, bench.scratch))
    control = {tally.fault: tally for tally in theirs}
    return [(tally, control.get(tally.fault)) for tally in ours], (seen, control_seen)


def both(fault: str, pairs: list[Pair]) -> Pair:
    """One pair of several."""
    ours, theirs = zip(*pairs, strict=True)
    return merged(fault, ours), merged(fault, filter(None, theirs))


def power_part(bench: Bench) -> Iterator[Pair]:
    yield power.outages(bench.stages, bench.scratch), power.outages(bench.naive, bench.scratch)


def damage_part(bench: Bench) -> Iterator[Pair]:
    """Files truncated, emptied, flipped and odd; files missing, misplaced, swapped and unexpected."""
    for ours, theirs in (
        (damage.damaged(bench, bench.stages, 10), damage.damaged(bench, bench.naive, 10, CONTROL_DAMAGE)),
        (misplaced.misplaced(bench, bench.stages), misplaced.misplaced(bench, bench.naive)),
    ):
        control = {tally.fault: tally for tally in damage.tallied(list(theirs), bench.scratch)}
        for tally in damage.tallied(list(ours), bench.scratch):
            yield tally, control.get(tally.fault)


def settings_part(bench: Bench) -> Iterator[Pair]:
    control = settings.stale_reuse(bench, naive=True, every=CONTROL_SETTINGS)
    yield from zip(settings.stale_reuse(bench), control, strict=True)


def loop_part(bench: Bench) -> Iterator[Pair]:
    for tried in (loop.removed_parts, loop.other_weights, loop.one_more_iteration):
        yield tried(bench), None
    yield loop.killed_make(bench, 4), None


def races_part(bench: Bench) -> Iterator[Pair]:
    yield races.workers(bench, 5), races.workers(bench, 5, naive=True)
    yield layouts.layouts(bench), None
    yield races.undetermined_workers(bench, 5), None
    yield races.same_commands(bench, 1), None
    yield races.clocks(bench), None


def hostile_part(bench: Bench) -> Iterator[Pair]:
    for tried in (hostile.hostile_folders, names.refused_names, names.refused_overrides, names.leaked_secrets):
        yield tried(bench), None
    yield rows.bad_rows(bench), None


def processes_part(bench: Bench) -> Iterator[Pair]:
    for tally in processes.interrupted(bench, 4):
        yield tally, None
    yield processes.killed_workers(bench, 4), None
    for tried in (processes.engine_faults, processes.held, processes.bad_places, full_disk.full_disks):
        yield tried(bench), None


def real_part(bench: Bench) -> Iterator[Pair]:
    for tally in real.real_model(bench):
        yield tally, None


TRIALS = {  # of all stages together
    "disk full, whatever needs space": partial(kills.every_event, fault=ENOSPC),
    "I/O error, everything else": partial(kills.every_event, fault=EIO),
    "SIGKILL three times in a row": partial(kills.triple_kills, number=100),
}
PARTS: dict[str, Callable[[Bench], Iterator[Pair]]] = {
    "power": power_part,
    "damage": damage_part,
    "settings": settings_part,
    "loop": loop_part,
    "races": races_part,
    "hostile": hostile_part,
    "processes": processes_part,
    "kills": kills_part,
}
ALONE: dict[str, Callable[[Bench], Iterator[Pair]]] = {"real": real_part}  # only when asked for


def main(chosen: list[str]) -> int:
    started = time.monotonic()
    pairs: list[Pair] = []
    try:
        with scratch_folder() as scratch:
            bench = prepare(scratch)
            for name in chosen or PARTS:
                for pair in (PARTS | ALONE)[name](bench):
                    pairs += [pair] if pair[0].tried else []
                    passed = time.monotonic() - started
                    print(f"{passed:6.0f} s  {name}: {pair[0].summary}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("interrupted; what was tried until then:", flush=True)
    print(table(pairs))
    broken = [tally for tally, _ in pairs if not tally.kept]
    for tally in broken:
        print(f"\n{tally.fault}:", *tally.examples, sep="\n  ")
    tried = sum(tally.tried for tally, _ in pairs)
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    used = sum(part.ru_utime + part.ru_stime for part in usage)
    seconds = time.monotonic() - started
    print(f"\n{tried:,} faults, {len(broken)} promises broken; {seconds:,.0f} s, {used:,.0f} s of them on the CPU")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
