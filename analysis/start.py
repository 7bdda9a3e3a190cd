"""Can M_0 start, and with which sampling? From the training samples of one run's iteration 0, without any training.

    python -m analysis.start run=demo [questions=500]

For every N_init x N_corr up to the run's own, N_init from what a correction reads: P(at least one improving pair), rows
to expect, tokens, and minutes of a worker. These are the paper's rows; of a run with another recipe, what it kept of
each kind at its own size.
"""

from analysis import recipes
from analysis.iterations import metrics_of
from analysis.record import read_costs
from analysis.stats.start_estimate import StartEstimate, sizes_within, start_estimates
from analysis.trajectories import sample_pool
from conf.stored import load
from store.errors import ConfigError, stage_main
from store.run import Iteration, Run, stage_arguments
from store.shards import MANIFEST

HEADER = "{:>6}{:>7}   {:<26}{:<26}{:<20}{:<20}{:>12}{:>16}".format(
    "N_init", "N_corr", "P(a question improves) %", "P(the run can start) %", "improving rows", "kept-right rows",
    "tokens", "worker minutes",
)  # fmt: skip


def main(argv: list[str]) -> None:
    arguments = stage_arguments(["questions=", *argv], "analysis.start", "run", "questions")
    run, questions = Run(arguments["run"]), arguments["questions"]
    if questions and not (questions.isdecimal() and int(questions)):
        raise ConfigError(f"questions={questions} is not a number of training questions")
    print(describe(run, int(questions) if questions else None))


def describe(run: Run, num_questions: int | None = None) -> str:
    """Return the table for a run; ConfigError before its iteration 0 is scored."""
    first = run.iteration(0)
    if not (first.trajectories / MANIFEST).exists():
        raise ConfigError(f"{first.dir} is not scored: run `make iterate N=0 RUN={run.name}` first")
    config = load(run)
    largest = config.sampling.num_initial, config.sampling.num_corrections
    grid = [size for size in sizes_within(*largest, config.prompt.num_answers) if all(map(is_shown, size, largest))]
    estimates = start_estimates(sample_pool(first), grid, num_questions, seconds_per_token(first))
    return "\n".join([f"run {run.name}: what one iteration can expect of M_0 (95 % intervals)", HEADER,
                      *map(row, estimates),
                      *recipes.describe(config.model_dump(mode="json"), {0: metrics_of(first)})])  # fmt: skip


def is_shown(size: int, largest: int) -> bool:
    """All sizes up to 5, then every fifth, and the last."""
    return size <= 5 or size % 5 == 0 or size == largest


def row(estimate: StartEstimate) -> str:
    shares, rows = (estimate.question, estimate.run), (estimate.improving_rows, estimate.kept_right_rows)
    texts = [f"{share.with_interval():<26}" for share in shares]
    texts += [f"{count.with_interval(scale=1):<20}" for count in rows]
    minutes = f"{estimate.seconds / 60:>16.1f}" if estimate.seconds == estimate.seconds else f"{'-':>16}"
    tokens = f"{estimate.generated_tokens:>12,.0f}"
    return f"{estimate.num_init:>6}{estimate.num_corr:>7}   {''.join(texts)}{tokens}{minutes}"


def seconds_per_token(iteration: Iteration) -> float:
    """Of a worker's time, for an iteration's generation, engine starts included; NaN where its samples were copied."""
    costs = read_costs(iteration.stats).get("generation", {})
    tokens = costs.get("generated_tokens")
    return costs["seconds"] / tokens if tokens else float("nan")


if __name__ == "__main__":
    stage_main(main)
