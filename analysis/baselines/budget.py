"""How many tokens a run generated, and the settings with which a baseline generates as many."""

import math
from typing import Any

from analysis.iterations import finished_iterations, metrics_of
from conf.stored import load
from store.errors import ConfigError
from store.run import Iteration, Run
from store.shards import required_manifest

MAX_SAMPLES = 1000
# As few corrections as can be: no baseline uses them, or rows beside its own.
ALONE = ["sampling.num_corrections=1", "eval.rounds=1", "filter.pairing=own"]


def settings_of(run: Run, baseline: str) -> list[str]:
    """Return the overrides with which the run `<run>-<baseline>` differs from `run`; ConfigError where it trained
    nothing.

    star: as many initial answers as generate the training tokens of all of the run's iterations. m0: as many first
    answers to the test questions as take the tokens of the run's own pairs on them.
    """
    config = load(run)
    fewest = config.prompt.num_answers  # initial answers, which a correction reads
    copied = f"launcher.pool={run.name}"  # M_0's samples, of validation and test all
    if baseline == "gold":
        return [*ALONE, copied, "strategy=GOLD", "strategy.trains_on=gold_answers", f"sampling.num_initial={fewest}"]
    iterations = trained_iterations(run)
    if baseline == "star":
        train = split_metrics(iterations[0], "train")
        per_sample = train["num_initial_answer_tokens"] / config.sampling.num_initial  # of all questions
        num_initial = min(max(fewest, round(training_tokens(iterations) / per_sample)), MAX_SAMPLES)
        return [
            *ALONE, copied, "strategy=STAR", "strategy.trains_on=initial_answers",
            f"sampling.num_initial={num_initial}",
        ]  # fmt: skip
    return [
        *ALONE, "launcher.pool=null", "data.train=1", "data.validation=1", f"sampling.num_initial={fewest}",
        f"eval.num_samples={num_answers(run)}", "eval.greedy=false",
    ]  # fmt: skip


def num_answers(run: Run) -> int:
    """Return how many first answers of M_0 to a test question take the tokens of the run's own pairs on it."""
    config, (first, *_, last) = load(run), trained_iterations(run)
    per_answer = split_metrics(first, "test")["num_initial_answer_tokens"] / config.eval.num_samples  # to all questions
    num_samples = math.ceil(inference_tokens(last) / per_answer) + 1  # a little more: it is measured again
    return min(max(config.prompt.num_answers, num_samples), MAX_SAMPLES)


def trained_iterations(run: Run) -> list[Iteration]:
    """Return a run's finished iterations, M_0's and at least one that was trained."""
    iterations = finished_iterations(run)
    if len(iterations) < 2:
        raise ConfigError(f"{run.dir} has no trained model to compare: run `make iterate N=1 RUN={run.name}` first")
    return iterations


def training_tokens(iterations: list[Iteration]) -> int:
    """Tokens generated for the training rows of the last of these iterations; reused initial answers cost none."""
    total = 0
    for iteration in iterations[:-1]:
        train = split_metrics(iteration, "train")
        reused = required_manifest(iteration.initial_answers, "make iterate").reused
        total += train["num_correction_tokens"] + (0 if "train" in reused else train["num_initial_answer_tokens"])
    return total


def inference_tokens(iteration: Iteration) -> int:
    """Tokens of all initial answers and corrections on test."""
    test = split_metrics(iteration, "test")
    return test["num_initial_answer_tokens"] + test["num_correction_tokens"]


def split_metrics(iteration: Iteration, split: str) -> dict[str, Any]:
    """Return a split's entry in metrics.json."""
    return metrics_of(iteration)["splits"][split]
