"""What was tried and what came of it, counted; and the table of it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

PROMISED, STOPPED, SILENT = OUTCOMES = ("as promised", "stopped", "silently wrong")
NUM_SHOWN = 3
LINE = "{:<44}{:>7}{:>13}{:>9}{:>9}   |{:>7}{:>13}{:>9}{:>9}"


@dataclass
class Tally:
    """The outcomes of one kind of fault: as promised; stopped, but not as promised; silently wrong."""

    fault: str
    outcomes: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def add(self, outcome: str, example: str) -> None:
        """Count an outcome; the first examples of those that were not promised are kept."""
        self.outcomes[outcome] += 1
        if outcome != PROMISED and len(self.examples) < NUM_SHOWN:
            self.examples.append(f"{outcome}: {example}")

    @property
    def tried(self) -> int:
        return self.outcomes.total()

    @property
    def kept(self) -> bool:
        return self.outcomes[PROMISED] == self.tried > 0

    @property
    def summary(self) -> str:
        return f"{self.fault}, {self.outcomes[PROMISED]:,} of {self.tried:,}"

    def cells(self) -> list[str]:
        return [f"{self.tried:,}", *(f"{self.outcomes[outcome]:,}" for outcome in OUTCOMES)]


def merged(fault: str, tallies: Iterable[Tally]) -> Tally:
    """One tally of several."""
    total = Tally(fault)
    for tally in tallies:
        total.outcomes.update(tally.outcomes)
        total.examples += tally.examples[: NUM_SHOWN - len(total.examples)]
    return total


def table(pairs: Iterable[tuple[Tally, Tally | None]]) -> str:
    """Return a line for each kind of fault, the project's counts left and the control's right."""
    titles = ("tried", "as promised", "stopped", "wrong")
    lines = [f"{'':<44}{'this project':>38}   |{'the same without the protocol':>38}"]
    lines.append(LINE.format("fault", *titles, *titles))
    for ours, theirs in pairs:
        control = theirs.cells() if theirs and theirs.tried else ["-"] * 4
        lines.append(LINE.format(ours.fault, *ours.cells(), *control))
    return "\n".join(lines)
