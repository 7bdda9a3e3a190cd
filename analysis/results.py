"""The figures of a report: every estimate with its interval, and the words that comparisons allow."""

from dataclasses import dataclass
from typing import NamedTuple

from analysis.record import RunRecord
from analysis.stats.comparisons import Comparison, compare
from analysis.stats.intervals import Estimate, estimate_figures
from analysis.stats.selection import headline

LABELS = {
    "validation-best": "Best on validation",
    "last": "Last",
    "paper metric": "Highest on test itself",
}


class Claim(NamedTuple):
    """What a chosen iteration did on test. against_base: t2 to M_0's t2, None for the base model; correcting: its t2 to
    its own t1."""

    label: str
    iteration: int
    t2: Estimate
    against_base: Comparison | None
    correcting: Comparison


@dataclass(frozen=True)
class Results:
    """figures: {split: {iteration: {figure: estimate}}}. deltas: {split: {iteration: t2 to its own t1}}. against_base:
    {split: {iteration from 1: t2 to M_0's t2}}."""

    figures: dict[str, dict[int, dict[str, Estimate]]]
    deltas: dict[str, dict[int, Comparison]]
    against_base: dict[str, dict[int, Comparison]]

    @property
    def claims(self) -> list[Claim]:
        """The iterations that count (analysis.stats.selection), the one to deploy first."""
        t2 = {
            split: {number: of_iteration["t2"].value for number, of_iteration in self.figures[split].items()}
            for split in ("validation", "test")
        }
        return [
            Claim(
                LABELS[label],
                number,
                self.figures["test"][number]["t2"],
                self.against_base["test"].get(number),
                self.deltas["test"][number],
            )
            for label, number, _ in headline(t2["validation"], t2["test"])
        ]


def compute_results(record: RunRecord) -> Results:
    """All of a run's figures, from its sums per question."""
    figures, deltas, against_base = {}, {}, {}
    for split, by_iteration in record.counts.items():
        figures[split] = {number: estimate_figures(counts) for number, counts in by_iteration.items()}
        deltas[split] = {number: compare(counts, counts, "t1", "t2") for number, counts in by_iteration.items()}
        base, *_ = by_iteration.values()
        against_base[split] = {number: compare(base, counts) for number, counts in by_iteration.items() if number}
    return Results(figures, deltas, against_base)
