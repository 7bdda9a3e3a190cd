"""Files of a finished run are damaged, removed, swapped and added; a reader must notice, whichever it is.

Two readers are tried: `python -m analysis.verify`, on every file, and the stages, each on the files that it opens. As
promised is: exit code 5 (3 for a later schema version, 2 for settings that are none) and a message with the name of the
file or its folder; or the same tree as without the damage, rebuilt.
"""

import os
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from analysis import verify
from faults.children import Ended, run
from faults.stages import RUN, Bench, Stage, tree
from faults.tally import PROMISED, SILENT, STOPPED, Tally
from store.machine import num_cores

REFUSED = (2, 3, 5)
ODD_JSON = (b"", b"[]", b"null", b"0", b'"x"', b"{}", b"{", b"\xff\xfe{}", b"[" * 100_000, b'{"digest": NaN}',
            b'{"files": 1, "digest": "x", "record_digest": "x"}', b'{"schema_version": "x", "digest": []}')  # fmt: skip


@dataclass(frozen=True)
class Damage:
    """A file of a run with another content (None: no file), and the stage that reads it, None for analysis.verify."""

    kind: str
    name: str
    content: bytes | None
    reader: Stage | None
    folder: Path  # with the undamaged run


def flips(content: bytes, number: int, draw: random.Random) -> Iterator[bytes]:
    """`content` with one bit flipped, `number` times."""
    for _ in range(number):
        at = draw.randrange(len(content))
        yield content[:at] + bytes([content[at] ^ (1 << draw.randrange(8))]) + content[at + 1 :]


def damaged(bench: Bench, stages: Sequence[Stage], num_flips: int, every: int = 1) -> Iterator[Damage]:
    """Yield truncations at every 1/16, nothing at all, odd JSON and `num_flips` flipped bits, of every file for each of
    its readers; of these only one in `every`."""
    draw, number = random.Random(0), 0
    for reader, folder, name, content in readings(bench, stages):
        contents = [("truncated", content[: len(content) * part // 16]) for part in range(1, 16)]
        contents += [("bit flipped", flipped) for flipped in flips(content, num_flips if content else 0, draw)]
        contents += [("emptied", b""), *(("odd JSON", odd) for odd in ODD_JSON if name.endswith(".json"))]
        for kind, other in contents:
            number += 1
            if other != content and number % every == 0:
                yield Damage(kind, name, other, reader, folder)


def readings(bench: Bench, stages: Sequence[Stage]) -> Iterator[tuple[Stage | None, Path, str, bytes]]:
    """(reader, folder, name, content) of every file that a stage opens and that was there before it; with the
    project's own stages also of every file for analysis.verify."""
    if not stages[0].naive:
        yield from ((None, bench.whole, name, content) for name, content in tree(bench.whole).items() if made(name))
    for stage in stages:
        opened = {event.partition(" ")[2] for event in stage.events if event.startswith("open ")}
        for name, content in tree(stage.before).items():
            if name in opened and made(name):
                yield stage, stage.before, name, content


def made(name: str) -> bool:
    """Whether something is made from a file: what is in _execution.yaml may differ."""
    return not name.endswith("_execution.yaml")


def tallied(damages: Iterator[Damage], scratch: Path) -> list[Tally]:
    """Return a tally for each kind of damage."""
    tallies: dict[str, Tally] = {}
    with get_context("fork").Pool(num_cores()) as pool:
        for kind, outcome, said in pool.imap_unordered(partial(try_once, scratch), damages, chunksize=8):
            tallies.setdefault(kind, Tally(kind)).add(outcome, said)
    return list(tallies.values())


def try_once(scratch: Path, damage: Damage) -> tuple[str, str, str]:
    """Put the damage on disk and let its reader read: the kind, the outcome, what was said."""
    folder = scratch / f"lane-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(damage.folder, folder)
    path = folder / damage.name
    path.unlink(missing_ok=True)
    if damage.content is not None:
        path.write_bytes(damage.content)
    ended = damage.reader.run(folder) if damage.reader else run(verify.main, [f"run={RUN}"], folder)
    reader = damage.reader.name if damage.reader else "analysis.verify"
    return damage.kind, outcome(damage, ended, folder), f"{damage.name} for {reader}: exit {ended.code}: {ended.said}"


def outcome(damage: Damage, ended: Ended, folder: Path) -> str:
    """Return what came of a damage."""
    path = Path(damage.name)
    if ended.code:
        named = path.name in ended.said or str(path.parent) in ended.said
        return PROMISED if ended.code in REFUSED and named else STOPPED
    if damage.reader is None:  # without its manifest a stage is not finished, which is no fault
        return PROMISED if damage.content is None and f"{path.parent}: not finished" in ended.said else SILENT
    found = tree(folder)
    if damage.content is None and (damage.reader.before / path).exists():  # another stage rebuilds it
        found.setdefault(damage.name, damage.reader.after[damage.name])
    return PROMISED if found == damage.reader.after else SILENT
