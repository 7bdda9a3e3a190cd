"""What makes two runs the same in some respect: every list of settings that may differ between them.

Keys are dotted; a key stands for all that are under it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from store.fingerprint import digest, flatten

# How fast a run goes and who is told of it, and never what it computes: free to differ between restarts of one run.
EXECUTION = (
    "launcher",
    "engine.throughput",
    "training.throughput",
    "training.on_empty",  # gates: they stop a run or let it pass
    "training.stop_check",
    "training.max_length",
    "reward.timeout",
    "reward.max_unscorable",
    "judge.endpoint",
    "judge.concurrency",
    "judge.timeout",
    "judge.retries",
    "judge.max_total_tokens",
    "judge.table",
    "tracking",
)
# Of these, what is not written where it has its default.
DEFAULTED = (
    "reward.timeout",
    "reward.max_unscorable",
    "tracking",
    *(key for key in EXECUTION if key.startswith("judge.")),
)
# What a run that scores another's samples (samples_of) decides for itself.
SCORING = (
    "run",
    "samples_of",
    "reward",
    "judge",
    "filter",
    "compat",
    "strategy.name",
    "strategy.filter",
    "strategy.trains_on",
)
# How many samples a question gets: the first samples of a question are the same in a run that draws more of them.
SAMPLE_SIZES = ("sampling.num_initial", "sampling.num_corrections", "eval.num_samples", "eval.rounds")
# What M_0's samples do not depend on: runs of a sweep that differ in these alone share them.
AFTER_BASE_MODEL = ("strategy", "reward", "judge", "filter", "training", "peft", "compat", "eval.initialization")
# What config.yaml holds beside settings.
OF_A_RUN = ("run", "overrides", "digest")
# What tells the seeds of one experiment apart.
SEEDS = ("seed", *OF_A_RUN)


def is_among(key: str, keys: Iterable[str]) -> bool:
    """Tell whether a dotted key is one of `keys`, or under one of them."""
    return any(key == one or key.startswith(f"{one}.") for one in keys)


def without(settings: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Return the settings, flattened, that are not among `keys`."""
    return {key: value for key, value in flatten(settings).items() if not is_among(key, keys)}


def same_but_seed(settings: Mapping[str, Any]) -> str:
    """Return a digest that is equal for runs that differ in their seed alone, and in how fast they go."""
    return digest(without(settings, (*SEEDS, *EXECUTION)))
