"""Questions: where they come from, which rows are used, and which split each one belongs to."""
