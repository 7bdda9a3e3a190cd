"""Step 3 of Algorithm 1: score what M_n generated, and select the rows that M_{n+1} is trained on."""

import os

# Before polars is imported: shards are spread over processes, each of which works in one thread.
os.environ.setdefault("POLARS_MAX_THREADS", "1")
