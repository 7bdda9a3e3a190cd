"""Statistics over questions: sums, intervals, paired comparisons, seeds, and what a first iteration can expect."""
