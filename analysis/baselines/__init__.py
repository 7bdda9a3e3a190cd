"""What the tokens of a run buy without self-correction: the runs to compare it with, and the table."""
