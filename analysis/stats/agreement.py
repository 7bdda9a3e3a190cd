"""How far two graders agree on the same texts: Cohen's kappa (1960), the agreement beyond that of chance."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Agreement:
    """Numbers of texts that both graders call right, the first alone, the second alone, and neither."""

    both: int
    first: int
    second: int
    neither: int

    @property
    def num_texts(self) -> int:
        """Return how many texts both graded."""
        return self.both + self.first + self.second + self.neither

    @property
    def share(self) -> float | None:
        """Return the share of texts on which they agree, None of nothing."""
        return (self.both + self.neither) / self.num_texts if self.num_texts else None

    @property
    def kappa(self) -> float | None:
        """Return (p_o - p_e) / (1 - p_e), p_o the share on which they agree, p_e that of two graders with these rates
        by chance; None where both give all texts one grade, which leaves nothing to agree on."""
        if self.share is None:
            return None
        right = [(self.both + alone) / self.num_texts for alone in (self.first, self.second)]
        chance = right[0] * right[1] + (1 - right[0]) * (1 - right[1])
        return None if chance == 1 else (self.share - chance) / (1 - chance)
