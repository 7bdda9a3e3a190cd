"""One pass over a run's texts: what corrections do, counted over every pair, and the pairs that the viewer shows."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.inspection.selection import read_tables
from analysis.record import RunRecord
from analysis.report.viewer import Shown
from analysis.stats.taxonomy import categories
from store.fingerprint import stable_hash
from store.run import Run
from store.schemas import SPLITS, TRANSITIONS

# What the viewer holds at most: 12 MB of text, which is 3 to 5 MB in the file and opens within a second or two.
MAX_PAIRS = 60_000
MAX_TOKENS = 3_000_000
NUM_EXAMPLES = 2  # of a category and a transition


@dataclass
class Pairs:
    """changes: {(split, iteration): {(category, transition): pairs}}. examples: {(category, transition): the
    first rows met, those of test first}. shown: the pairs for the viewer."""

    shown: Shown
    changes: dict[tuple[str, int], Counter[tuple[str, str]]] = field(default_factory=dict)
    examples: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))


def read_pairs(run: Run, record: RunRecord, chosen: dict[str, set[str]]) -> Pairs:
    """Classify every pair of a run, one shard in memory at a time; keep the rows of the chosen questions."""
    pairs = Pairs(Shown(record.iterations[0].manifests["trajectories"].settings["scoring"]["rewards"]))
    for iteration in record.iterations:
        for split in reversed(SPLITS):  # held-out pairs are the better examples
            counter = pairs.changes.setdefault((split, iteration.number), Counter())
            for table in read_tables(run.iteration(iteration.number), split):
                add_table(pairs, counter, table, chosen[split], iteration.number)
    return pairs


def add_table(
    pairs: Pairs, counter: Counter[tuple[str, str]], table: pa.Table, chosen: set[str], iteration: int
) -> None:
    """Count a shard's changes, and keep its examples and the rows of chosen questions."""
    ids, transitions = (table[name].to_pylist() for name in ("question_id", "transition"))
    did = categories(table)
    changes = list(zip(did, transitions, strict=True))
    counter.update(changes)
    for row, change in enumerate(changes):
        if len(examples := pairs.examples[change]) < NUM_EXAMPLES:
            examples += table.slice(row, 1).to_pylist()
    rows = [row for row, question_id in enumerate(ids) if question_id in chosen]
    pairs.shown.add(table.take(rows), iteration, [did[row] for row in rows])


def choose_questions(record: RunRecord) -> dict[str, set[str]]:
    """Return the questions of each split that the viewer shows: all, or as many as fit, drawn by a hash of their id.

    Of a chosen question everything is shown, so it can be followed through all iterations. Each split has a third of
    the room; what a small one leaves goes to the next, training questions last.
    """
    chosen: dict[str, set[str]] = {}
    room = np.array([MAX_PAIRS, MAX_TOKENS])
    for splits_left, split in zip((3, 2, 1), reversed(SPLITS), strict=True):
        needs: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(2))
        for counts in record.counts[split].values():
            num_pairs = np.sum([counts.sums[name] for name in TRANSITIONS], axis=0)
            num_tokens = counts.sums["initial_num_tokens"] + counts.sums["correction_num_tokens"]
            for question_id, *need in zip(counts.question_ids.tolist(), num_pairs, num_tokens, strict=True):
                needs[question_id] += need
        drawn = sorted(needs, key=stable_hash)
        spent = np.cumsum([needs[question_id] for question_id in drawn], axis=0)
        fitting = int(np.all(spent <= room // splits_left, axis=1).sum())
        chosen[split] = set(drawn[:fitting])
        room = room - (spent[fitting - 1].astype(int) if fitting else 0)
    return chosen
