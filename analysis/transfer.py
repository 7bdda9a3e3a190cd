"""Did what was learned on one set move t1 and t2 on another? Every checkpoint of a run, on questions it never saw.

    python -m analysis.transfer run=webq                the tables of the runs webq-on-... that `make transfer` makes
    python -m analysis.transfer run=webq print=last     the number of its last model, up to which these go

A transfer is a run whose models are another's (models_of). Its M_1, M_2, ... are compared with M_0 on the same test
questions; the p-values of a table are adjusted together (Holm). Reads trajectories; writes nothing.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from analysis.iterations import finished_iterations
from analysis.stats.comparisons import Comparison, adjust, compare
from analysis.stats.counts import QuestionCounts
from analysis.stats.intervals import Estimate, estimate_figures
from analysis.trajectories import question_counts
from conf.stored import load, read_settings
from store.errors import ConfigError, stage_main
from store.run import Run, is_run_name, stage_arguments

FIGURES = ("t1", "t2")
ROW = "{:<6}{:<22}{:<22}{}"


class Moved(NamedTuple):
    """A checkpoint on the other set. compared: its t1 and its t2 with M_0's, {figure: comparison}; against_base: what
    may be said of these; none for M_0."""

    number: int
    figures: Mapping[str, Estimate]
    compared: Mapping[str, Comparison]
    against_base: tuple[str, ...]


class Transfer(NamedTuple):
    """run: which answers with the models of `models_of`, trained on `learned_on`; source, reward: of its own
    questions."""

    run: str
    models_of: str
    learned_on: str
    source: str
    reward: str
    rows: list[Moved]

    @property
    def sentence(self) -> str:
        """Return what the numbers allow to say of the last model; "" where there is M_0 alone."""
        if not (last := self.rows[-1]).number:
            return ""
        learned = f"M_{last.number} of {self.models_of} learned on {self.learned_on}"
        return f"What {learned}, in {self.run} on {self.source}: {in_words(last)}"


def main(argv: list[str]) -> None:
    """Print the tables of a run's transfers, or the number of its last model."""
    arguments = stage_arguments(["print=", *argv], "analysis.transfer", "run", "print")
    run, asked = Run(arguments["run"]), arguments["print"]
    if asked not in ("", "last"):
        raise ConfigError(f"print={asked!r} was given, print=last or nothing was expected")
    load(run)  # a run that scores another's samples has no models
    if not (finished := finished_iterations(run)):
        raise ConfigError(f"{run.dir} has no scored iteration: run `make iterate RUN={run.name}` first")
    if asked:
        print(finished[-1].number)
    else:
        print("\n".join(line for transfer in required_transfers(run) for line in describe(transfer)), flush=True)


def required_transfers(run: Run) -> list[Transfer]:
    """Return the transfers of a run's models; ConfigError where there is none."""
    if found := transfers(run):
        return found
    raise ConfigError(f"no run {run.name}-on-... is there: `make transfer RUN={run.name} DATA=trivia_qa` makes one")


def transfers(run: Run) -> list[Transfer]:
    """Return the transfers of a run's models, by their names <run>-on-...; of a transfer itself, its own. Those that
    have scored M_0."""
    if read_settings(run.config).get("models_of"):
        of = [run]
    else:
        paths = sorted(run.root.glob(f"{run.name}-on-*/config.yaml"))
        others = [path for path in paths if is_run_name(path.parent.name)]  # not a copy that somebody has put aside
        of = [Run(path.parent.name, run.root) for path in others if read_settings(path).get("models_of") == run.name]
    return [read_transfer(each) for each in of if finished_iterations(each)]


def read_transfer(run: Run) -> Transfer:
    """Compare the models that a transfer's run evaluates."""
    settings = load(run, rescored=True)
    assert settings.models_of is not None
    test = {iteration.number: question_counts(iteration, "test") for iteration in finished_iterations(run)}
    return Transfer(
        run=run.name,
        models_of=settings.models_of,
        learned_on=load(Run(settings.models_of, run.root)).data.source,
        source=settings.data.source,
        reward=settings.reward.name,
        rows=moved(test),
    )


def moved(test: Mapping[int, QuestionCounts]) -> list[Moved]:
    """Compare every checkpoint with M_0, paired by question. test: {n: sums on test}, M_0's among them."""
    pairs = [(n, figure) for n in test if n for figure in FIGURES]
    compared = {(n, figure): compare(test[0], test[n], figure, figure) for n, figure in pairs}
    p_values = adjust([comparison.p_value for comparison in compared.values()])
    words = {pair: each.words(p) for (pair, each), p in zip(compared.items(), p_values, strict=True)}
    rows = []
    for n, counts in test.items():
        own = [(n, figure) for figure in FIGURES if n]
        of_figures = {figure: compared[n, figure] for _, figure in own}
        rows.append(Moved(n, estimate_figures(counts, FIGURES), of_figures, tuple(words[pair] for pair in own)))
    return rows


def describe(transfer: Transfer) -> Iterator[str]:
    """Yield the table of a transfer, and the sentence that its numbers allow."""
    questions = transfer.rows[0].figures["t2"].num_questions
    yield (
        f"\n{transfer.run}: the models of {transfer.models_of} (trained on {transfer.learned_on}) on {questions:,} "
        f"test questions of {transfer.source}, reward {transfer.reward}"
    )
    yield ROW.format("", "t1 (95 % interval)", "t2 (95 % interval)", "against M_0's, adjusted together (Holm)")
    for row in transfer.rows:
        values = (row.figures[figure].with_interval() for figure in FIGURES)
        yield ROW.format(f"M_{row.number}", *values, in_words(row)).rstrip()
    if transfer.sentence:
        yield transfer.sentence


def in_words(row: Moved) -> str:
    """Return `t1 higher by ...; t2 no difference shown ...`; nothing for M_0."""
    return "; ".join(f"{figure} {words}" for figure, words in zip(FIGURES, row.against_base, strict=False))


if __name__ == "__main__":
    stage_main(main)
