"""Selected pairs on a terminal: counts first, then the pairs by transition."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from analysis.screen import escape_control_characters
from store.schemas import TRANSITIONS

WORDS = {"i": "incorrect", "c": "correct"}
COUNTS = "{:<11}{:<6}{:>10}{:>24}{:>24}{:>20}{:>24}{:>10}"
LABEL = 14  # columns of a text's label


@dataclass
class Found:
    """Counts of the selected pairs by (split, iteration), and the first rows of every transition."""

    transitions: dict[tuple[str, int], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    kept: Counter[tuple[str, int]] = field(default_factory=Counter)
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))


def collect(selected: Iterable[tuple[int, pa.Table]], limit: int) -> Found:
    """Count everything, keep `limit` rows of each transition."""
    found = Found()
    for iteration, table in selected:
        for split in table["split"].unique().to_pylist():
            of_split = table.filter(pc.equal(table["split"], split))
            found.transitions[split, iteration].update(of_split["transition"].to_pylist())
            found.kept[split, iteration] += pc.sum(of_split["kept"]).as_py()
        for transition in TRANSITIONS:
            rows, missing = found.rows[transition], limit - len(found.rows[transition])
            of_transition = table.filter(pc.equal(table["transition"], transition)).slice(0, missing)
            rows += [row | {"iteration": iteration} for row in of_transition.to_pylist()]
    return found


class Style:
    """Escape sequences where the terminal takes color, nothing elsewhere."""

    def __init__(self, color: bool) -> None:
        self.codes = {"correct": "32", "incorrect": "31", "bold": "1", "faint": "2"} if color else {}

    def __call__(self, name: str, text: str) -> str:
        return f"\x1b[{self.codes[name]}m{text}\x1b[0m" if name in self.codes else text


def describe(name: str, found: Found, style: Style) -> Iterator[str]:
    """Yield the screen, line by line."""
    yield style("bold", f"run {name}")
    yield COUNTS.format("split", "iter", "pairs", *map(in_words, TRANSITIONS), "kept")
    for (split, iteration), counter in found.transitions.items():
        counts = [f"{counter[transition]:,}" for transition in TRANSITIONS]
        yield COUNTS.format(split, iteration, f"{counter.total():,}", *counts, f"{found.kept[split, iteration]:,}")
    if not found.transitions:
        yield "no pair meets these conditions"
    for transition in TRANSITIONS:
        total = sum(counter[transition] for counter in found.transitions.values())
        if rows := found.rows[transition]:
            yield ""
            yield style("bold", f"{in_words(transition)}: {len(rows):,} of {total:,} pairs")
            for row in rows:
                yield from describe_pair(row, style)


def describe_pair(row: dict[str, Any], style: Style) -> Iterator[str]:
    before, _, after = row["transition"].partition("->")
    kept = f"{'kept' if row['kept'] else 'not kept'}: {row['reason']}"
    place = f"{row['split']}  M_{row['iteration']}  {escape_control_characters(row['question_id'])}"
    yield ""
    yield style("faint", "  ".join([place, f"{row['init_index']}.{row['corr_index']}", kept, *row["flags"]]))
    yield from labeled("question", style("bold", escape_control_characters(row["question"])))
    yield from labeled("gold", escape_control_characters("; ".join(row["answers"])))
    for label, name, side in (("initial", "initial_answer", before), ("correction", "correction", after)):
        verdict, cut = WORDS[side], " (truncated)" if row[f"{label}_finish_reason"] == "length" else ""
        yield from labeled(label, f"{style(verdict, f'{verdict}: ')}{escape_control_characters(row[name])}{cut}")


def labeled(label: str, text: str) -> Iterator[str]:
    """Yield a text behind its label, its further lines under its first."""
    for number, line in enumerate(text.rstrip().split("\n")):
        yield f"  {'' if number else label:<{LABEL - 2}}{line}"


def in_words(transition: str) -> str:
    """i->c as "incorrect -> correct"."""
    before, _, after = transition.partition("->")
    return f"{WORDS[before]} -> {WORDS[after]}"
