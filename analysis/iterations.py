"""The finished iterations of a run, and their metrics.json, verified."""

import json
from itertools import takewhile
from typing import Any

from store.fingerprint import digest_bytes
from store.run import MAX_ITERATION, Iteration, Run
from store.shards import Manifest, corrupt, read_bytes, read_manifest, required_manifest


def finished_iterations(run: Run) -> list[Iteration]:
    """M_0's iteration and those after it whose filtering is complete, up to the first gap; sft/ gets its manifest
    last."""
    numbered = (run.iteration(number) for number in range(MAX_ITERATION + 1))
    return list(takewhile(lambda iteration: read_manifest(iteration.sft) is not None, numbered))


def metrics_of(iteration: Iteration) -> dict[str, Any]:
    """Return metrics.json of a finished iteration, verified."""
    folders = {"trajectories": iteration.trajectories, "sft": iteration.sft}
    return read_metrics(iteration, {stage: required_manifest(each, "make iterate") for stage, each in folders.items()})


def read_metrics(iteration: Iteration, manifests: dict[str, Manifest]) -> dict[str, Any]:
    """metrics.json, if it is the one that sft/ was made with and sums up these trajectories."""
    path = iteration.metrics
    content = read_bytes(path)
    if digest_bytes(content) != manifests["sft"].extra["metrics"]:
        raise corrupt(path, f"it is not the file that {iteration.sft} names")
    metrics = json.loads(content)
    if metrics["trajectories"] != manifests["trajectories"].digest:
        raise corrupt(path, f"it sums up other trajectories than those in {iteration.trajectories}")
    return metrics
