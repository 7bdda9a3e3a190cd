"""The rows of the table: what each way of answering the test questions scores, takes, and shows against the run."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from analysis.baselines import votes
from analysis.baselines.budget import (
    inference_tokens,
    split_metrics,
    trained_iterations,
    training_tokens,
)
from analysis.baselines.table import Baseline
from analysis.iterations import finished_iterations, metrics_of
from analysis.run_rows import read_row
from analysis.stats.comparisons import compare
from analysis.stats.counts import QuestionCounts
from analysis.stats.intervals import estimate_figures
from analysis.trajectories import question_counts
from conf.stored import load
from store.checkpoints import locate
from store.run import Iteration, Run
from store.schemas import TRANSITIONS

EQUAL = 0.05  # budgets that differ by more are said to
MIN_VOTES = 3  # of two answers the first decides


class Answers(NamedTuple):
    """One way to answer every test question: t1 or t2 of these counts, a correction reading so many initial answers."""

    counts: QuestionCounts
    figure: str
    num_read: int = 1


def rows(run: Run) -> list[Baseline]:
    """Return the table of a run. Answers are compared with those of its last model: one with its correction, the
    outcome of several with the outcome of its several corrections."""
    iterations = trained_iterations(run)
    own_row = read_row(run)
    test, last, chosen = own_row.test, own_row.last, own_row.best
    read = load(run).prompt.num_answers
    own = Answers(test[last], "t2", read)
    spent = {number: training_tokens(iterations[: number + 1]) for number in test}

    def of_run(name: str, number: int, figure: str, trained: int) -> Baseline:
        return measured(name, Answers(test[number], figure, read), own, training_tokens=trained)

    voted = decided_corrections(run, iterations[-1])
    return [
        of_run("M_0, asked once", 0, "t1", 0),
        of_run("M_0, asked twice: its correction", 0, "t2", 0),
        of_run(f"M_{last}, its first answer kept", last, "t1", spent[last]),
        *answers_voted(run, iterations[-1], own, spent[last]),
        star(run, own, spent[last]),
        gold(run, own),
        of_run(f"STaSC M_{chosen}, best on validation", chosen, "t2", spent[chosen]),
        of_run(f"STaSC M_{last}, last", last, "t2", spent[last]),
        corrections_voted(run, iterations[-1], voted, spent[last]),
        *of_many(run, iterations[-1], own if voted is None else Answers(voted, "t2")),
    ]


def measured(
    name: str,
    answers: Answers,
    own: Answers,
    training_tokens: int,
    inference_tokens: float | None = None,
    budget: float | None = None,
) -> Baseline:
    """Make a row. own: what the answers are compared with. inference_tokens: of one answer unless given."""
    accuracy = estimate_figures(answers.counts, [answers.figure])[answers.figure]
    words = "what the others are compared with"
    if answers.counts is not own.counts or answers.figure != own.figure:
        words = compare(own.counts, answers.counts, own.figure, answers.figure).words()
    if budget is not None and abs(budget - 1) > EQUAL:
        words += f"; not an equal budget: {budget:.0%} of the run's tokens"
    return Baseline(name, accuracy, words, inference_tokens or per_answer(answers), training_tokens, budget)


def per_answer(answers: Answers) -> float:
    """Tokens generated for one answer, the mean over test; of a correction with the initial answers that it reads."""
    totals = {name: column.sum() for name, column in answers.counts.sums.items()}
    tokens = sum(totals[name] * times for name, times in sides(answers).items())
    return float(tokens / sum(totals[name] for name in TRANSITIONS))


def sides(answers: Answers) -> dict[str, int]:
    """Return {column: how many of its texts one answer takes}."""
    if answers.figure == "t1":
        return {"initial_num_tokens": 1}
    return {"initial_num_tokens": answers.num_read, "correction_num_tokens": 1}


def star(run: Run, own: Answers, spent: int) -> Baseline:
    """Fine-tuned on its correct first answers, from as many tokens as the run's training rows took."""
    name, made = "STaR: trained on its correct first answers", Run(f"{run.name}-star", run.root)
    found = finished_iterations(made)
    if why := missing(run, made, found, 2):
        return Baseline(name, None, why)
    if locate(made, 1)[1].alias_of is not None:
        name += " (there was none: M_0)"
    tokens = split_metrics(found[0], "train")["num_initial_answer_tokens"]
    answers = Answers(question_counts(found[1], "test"), "t1")
    return measured(name, answers, own, training_tokens=tokens, budget=tokens / spent)


def gold(run: Run, own: Answers) -> Baseline:
    """Fine-tuned on the gold answers: no token of its training rows is generated."""
    name, made = "Trained on the gold answers", Run(f"{run.name}-gold", run.root)
    found = finished_iterations(made)
    if why := missing(run, made, found, 2):
        return Baseline(name, None, why)
    return measured(name, Answers(question_counts(found[1], "test"), "t1"), own, training_tokens=0)


def decided_corrections(run: Run, last: Iteration) -> QuestionCounts | None:
    """Return the majority of each question's corrections; None where there is one of each."""
    if load(run).eval.num_samples == 1:
        return None
    return votes.decide(votes.read_samples(last, "correction"), votes.majority)


def corrections_voted(run: Run, last: Iteration, voted: QuestionCounts | None, spent: int) -> Baseline:
    """Return the run's own answers where it may give several."""
    size = load(run).eval.num_samples
    name = f"STaSC M_{last.number}, majority of {size} corrections"
    if voted is None:
        return Baseline(name, None, "a run with eval.num_samples=1 has one pair for each question: nothing to vote on")
    tokens = inference_tokens(last) / len(voted.question_ids)
    own = Answers(voted, "t2")
    return measured(name, own, own, inference_tokens=tokens, training_tokens=spent)


def answers_voted(run: Run, last: Iteration, own: Answers, spent: int) -> Iterator[Baseline]:
    """Yield the majority of the last model's own first answers, of the run's test samples; nothing where there are
    fewer than three."""
    size = load(run).eval.num_samples
    if size >= MIN_VOTES:
        samples = votes.read_samples(last, "initial")
        answers, tokens = Answers(votes.decide(samples, votes.majority), "t1"), votes.num_tokens(samples)
        name, budget = f"M_{last.number}, majority of its {size} first answers", tokens / inference_tokens(last)
        yield measured(name, answers, own, spent, inference_tokens=tokens / len(samples), budget=budget)


def of_many(run: Run, last: Iteration, own: Answers) -> Iterator[Baseline]:
    """Yield the majority of k answers of M_0, and any correct one of them: k takes the tokens of the run's pairs on
    test, and is 1 at the least."""
    names = (
        "M_0, majority of k answers (self-consistency)",
        "M_0, any of k correct (upper bound: needs the gold answer)",
    )
    made = Run(f"{run.name}-m0", run.root)
    found = finished_iterations(made)
    if why := missing(run, made, found, 1):
        yield from (Baseline(name, None, why) for name in names)
        return
    compared_with = "one correction" if load(run).eval.num_samples == 1 else "majority"
    samples = votes.read_samples(found[0], "initial")
    available, allowed = sum(map(len, samples.values())) / len(samples), inference_tokens(last)
    afforded = min(available, available * allowed / votes.num_tokens(samples))
    k = max(1, afforded)
    used = votes.first_of(samples, k)
    tokens = votes.num_tokens(used)
    for name, choose in zip(names, (votes.majority, votes.any_right), strict=True):
        name = name.replace("of k", f"of {k:.1f}")
        if choose is votes.majority and k < MIN_VOTES:
            pairs = load(run).eval.num_samples
            affords = f"a run with eval.num_samples={math.ceil(MIN_VOTES * pairs / afforded)} affords them"
            yield Baseline(name, None, f"a majority takes {MIN_VOTES} answers: {affords}")
        else:
            answers = Answers(votes.decide(used, choose), "t1")
            row = measured(name, answers, own, 0, inference_tokens=tokens / len(used), budget=tokens / allowed)
            yield row._replace(words=f"against its {compared_with}: {row.words}")


def missing(run: Run, made: Run, found: list[Iteration], num_iterations: int) -> str:
    """Why a run made for a row is not there or is not like the run; "" where it is."""
    if len(found) < num_iterations:
        return f"{made.dir} is not finished: `make baseline-{made.name.rpartition('-')[2]} RUN={run.name}` makes it"
    if locate(made, 0)[1].digest != locate(run, 0)[1].digest:
        return f"{made.dir} has another M_0"
    theirs, ours = (metrics_of(one.iteration(0)) for one in (made, run))
    if any(theirs.get(key) != ours.get(key) for key in ("reward", "threshold", "function", "weights")):
        return f"{made.dir} was scored by another reward"
    return ""
