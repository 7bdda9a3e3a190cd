"""Which pairs of a run are looked at, and reading them shard by shard."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from store.errors import ConfigError
from store.run import Iteration, Run, iteration_number
from store.schemas import SPLITS, TRANSITIONS, trajectories
from store.shards import MANIFEST, iter_shards, required_manifest

SEARCHED = ("question", "initial_answer", "correction")


@dataclass(frozen=True)
class Selection:
    """Conditions that a pair has to meet, all of them; None or () is no condition.

    words: lower case; each has to occur in the question, a gold alias, the initial answer or the correction.
    """

    split: str | None = None
    iteration: int | None = None
    transition: str | None = None
    kept: bool | None = None
    question_id: str | None = None
    words: tuple[str, ...] = ()


def parse_selection(values: Mapping[str, str]) -> Selection:
    """Return the selection in a command's arguments, where "" is no condition; ConfigError for a value that is none."""
    transition = one_of("transition", values["transition"], tuple(name.replace("->", "-") for name in TRANSITIONS))
    kept = one_of("kept", values["kept"], ("yes", "no"))
    return Selection(
        split=one_of("split", values["split"], SPLITS),
        iteration=iteration_number(values["iteration"]) if values["iteration"] else None,
        transition=transition and transition.replace("-", "->"),
        kept=None if kept is None else kept == "yes",
        question_id=values["question"] or None,
        words=tuple(values["words"].lower().split()),
    )


def one_of(key: str, value: str, known: tuple[str, ...]) -> str | None:
    if value and value not in known:
        raise ConfigError(f"{key}={value!r} was given, one of {', '.join(known)} was expected")
    return value or None


def read_selected(run: Run, selection: Selection) -> Iterator[tuple[int, pa.Table]]:
    """Yield (iteration, the selected rows of one shard), shard by shard, each verified; ConfigError where none is
    there."""
    scored = [iteration for iteration in run.iterations() if (iteration.trajectories / MANIFEST).exists()]
    if selection.iteration is not None:
        scored = [iteration for iteration in scored if iteration.number == selection.iteration]
    if not scored:
        number = "0" if selection.iteration is None else str(selection.iteration)
        raise ConfigError(f"{run.dir} has no such scored iteration: run `make iterate N={number} RUN={run.name}` first")
    for iteration in scored:
        for split in SPLITS if selection.split is None else (selection.split,):
            for table in read_tables(iteration, split):
                yield iteration.number, table.filter(mask(table, selection))


def read_tables(iteration: Iteration, split: str) -> Iterator[pa.Table]:
    """Yield a split's trajectories, shard by shard, each verified."""
    made_by = f"python -m filtering run={iteration.dir.parent.name} iteration={iteration.number}"
    manifest = required_manifest(iteration.trajectories, made_by)
    schema = trajectories(manifest.settings["scoring"]["rewards"], "verdict" in manifest.settings["scoring"])
    for _, table in iter_shards(iteration.trajectories, manifest, split, schema):
        yield table


def mask(table: pa.Table, selection: Selection) -> pa.Array:
    """Which rows of a shard are selected, bool."""
    chosen = pa.repeat(True, table.num_rows)
    columns = {
        "transition": selection.transition, "kept": selection.kept, "question_id": selection.question_id,
    }  # fmt: skip
    for name, wanted in columns.items():
        if wanted is not None:
            chosen = pc.and_(chosen, pc.equal(table[name].combine_chunks(), wanted))
    return pc.and_(chosen, has_words(table, selection.words)) if selection.words else chosen


def has_words(table: pa.Table, words: Sequence[str]) -> pa.Array:
    """Whether every word occurs in the texts of a row."""
    texts = zip(table["answers"].to_pylist(), *(table[name].to_pylist() for name in SEARCHED), strict=True)
    joined = ("\n".join([*answers, *others]).lower() for answers, *others in texts)
    return pa.array([all(word in text for word in words) for text in joined], pa.bool_())
