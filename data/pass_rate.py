"""Training questions that M_0 answers correctly at a chosen rate, by a run's samples of it.

A question that is always answered incorrectly yields no improving pair, one that is always answered correctly yields
only copies.
"""

from collections import defaultdict

from store.errors import ConfigError
from store.run import Run
from store.shards import Manifest, iter_shards, read_manifest


def scored_samples(run: Run) -> Manifest:
    """Return the manifest of M_0's scored samples; ConfigError where the run has none yet."""
    manifest = read_manifest(run.iteration(0).trajectories)
    if manifest is None:
        raise ConfigError(f"data.pass_rate.run={run.name} has no scored samples: run `make iterate N=0 RUN={run.name}`")
    return manifest


def with_pass_rate(run: Run, manifest: Manifest, low: float, high: float) -> frozenset[str]:
    """Return the ids of the run's training questions whose initial answers are correct at a rate in [low, high]."""
    correct: dict[str, dict[int, bool]] = defaultdict(dict)  # question_id -> init_index -> correct
    for _, table in iter_shards(run.iteration(0).trajectories, manifest, "train", None):
        columns = (table[name].to_pylist() for name in ("question_id", "init_index", "transition"))
        for question_id, init_index, transition in zip(*columns, strict=True):
            correct[question_id][init_index] = transition.startswith("c")
    rates = {question_id: sum(answers.values()) / len(answers) for question_id, answers in correct.items()}
    return frozenset(question_id for question_id, rate in rates.items() if low <= rate <= high)
