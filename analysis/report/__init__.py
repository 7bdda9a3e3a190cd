"""One self-contained HTML file per run, or per comparison of runs: figures, record and trajectories."""
