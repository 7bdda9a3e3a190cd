"""pass@k and maj@k on test, from the samples that a run has: initial answers and corrections, of M_0 and the last M_n.

    python -m analysis.curves run=demo [iteration=2]

For k up to the samples of a question (eval.num_samples), with 95 % intervals over questions. Reads trajectories; writes
nothing.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from analysis.baselines.votes import Sample, read_samples
from analysis.stats.intervals import Estimate, estimate_ratios
from analysis.stats.subsets import majority_at, pass_at
from store.errors import ConfigError, stage_main
from store.run import Iteration, Run, iteration_number, stage_arguments
from store.shards import MANIFEST

MOST = 64  # the largest k: the exact maj@k takes the third power of it
SIDES = {"initial": "initial answers", "correction": "corrections"}
COLUMNS = "{:>4}   {:<24}{:<24}{:<24}{:<24}"


def main(argv: list[str]) -> None:
    """Print the curves of the iteration that the arguments name, or of the first and the last."""
    arguments = stage_arguments(["iteration=", *argv], "analysis.curves", "run", "iteration")
    run, asked = Run(arguments["run"]), arguments["iteration"]
    scored = {it.number: it for it in run.iterations() if (it.trajectories / MANIFEST).exists()}
    numbers = [iteration_number(asked)] if asked else sorted({min(scored), max(scored)} if scored else {0})
    if missing := [number for number in numbers if number not in scored]:
        raise ConfigError(f"{run.dir} has no scored iteration {missing[0]}: run `make iterate RUN={run.name}` first")
    for number in numbers:
        print(describe(scored[number]), flush=True)


def describe(iteration: Iteration) -> str:
    """Return the table of an iteration."""
    curves = {side: curve(read_samples(iteration, side)) for side in SIDES}
    titles = [f"{kind}@k, {name}" for name in SIDES.values() for kind in ("pass", "maj")]
    questions = curves["initial"][0][0].num_questions
    lines = [
        f"M_{iteration.number}, {questions:,} test questions: % (95 % interval)",
        COLUMNS.format("k", *titles).rstrip(),
    ]
    for k, row in enumerate(zip(*(estimates for side in SIDES for estimates in curves[side]), strict=True), start=1):
        if k <= 5 or k % 5 == 0 or k == len(curves["initial"][0]):
            lines.append(COLUMNS.format(k, *(estimate.with_interval() for estimate in row)).rstrip())
    return "\n".join(lines)


def curve(samples: Mapping[str, Sequence[Sample]]) -> tuple[list[Estimate], list[Estimate]]:
    """Return pass@k and maj@k for k = 1 and on, up to the fewest samples that a question has and to MOST."""
    most = min(MOST, *map(len, samples.values()))
    passed, voted = (np.empty((len(samples), most)) for _ in range(2))
    for row, found in enumerate(samples.values()):
        given, correct = Counter(s.answer for s in found), Counter(s.answer for s in found if s.right)
        answers = {answer: (given[answer], correct[answer]) for answer in given}
        passed[row] = pass_at(len(found), correct.total(), most)
        blank = answers.pop("", (0, 0))
        voted[row] = majority_at(list(answers.values()), blank, most)
    once = np.ones((len(samples), most))
    return estimate_ratios(passed, once), estimate_ratios(voted, once)


if __name__ == "__main__":
    stage_main(main)
