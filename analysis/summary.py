"""A run on one screen: every checkpoint on every split, and the words that the test figures allow."""

from collections.abc import Mapping

from analysis.stats.comparisons import compare
from analysis.stats.counts import QuestionCounts
from analysis.stats.intervals import Estimate, estimate_figures
from analysis.stats.selection import headline

FIGURES = ("t1", "t2", "i->c", "c->i", "copy_rate")
HEADER = "{:<11}{:>4}   {:<22}{:<22}{:>7}{:>7}{:>8}".format(
    "split", "iter", "t1 (95 % interval)", "t2 (95 % interval)", "i->c", "c->i", "copies"
)


def describe(run: str, counts: Mapping[str, Mapping[int, QuestionCounts]]) -> str:
    """Return the screen after `make iterate`, from {split: {iteration: counts}}."""
    lines = [f"run {run}", HEADER]
    for split, by_iteration in counts.items():
        for number, of_iteration in by_iteration.items():
            lines.append(row(split, number, estimate_figures(of_iteration, FIGURES)))
    return "\n".join(lines + unseen(counts) + claims(counts))


def unseen(counts: Mapping[str, Mapping[int, QuestionCounts]]) -> list[str]:
    """Describe the held-out splits again, without the questions that train has too, or nearly; [] where there are
    none."""
    lines = []
    for split, by_iteration in counts.items():
        found = {number: of_iteration.without("overlap") for number, of_iteration in by_iteration.items()}
        rest = {number: of_iteration for number, of_iteration in found.items() if of_iteration is not None}
        for number, of_iteration in rest.items():
            if number == min(rest):
                sizes = f"{len(of_iteration.question_ids):,} of {len(by_iteration[number].question_ids):,}"
                lines.append(f"without overlap with train ({sizes} {split} questions)")
            lines.append(row(split, number, estimate_figures(of_iteration, FIGURES)))
    return lines


def row(split: str, number: int, figures: Mapping[str, Estimate]) -> str:
    t1, t2, *rates = (figures[name] for name in FIGURES)
    shares = f"{100 * rates[0].value:>6.1f}%{100 * rates[1].value:>6.1f}%{100 * rates[2].value:>7.1f}%"
    return f"{split:<11}{number:>4}   {t1.with_interval():<22}{t2.with_interval():<22}{shares}"


def claims(counts: Mapping[str, Mapping[int, QuestionCounts]]) -> list[str]:
    """Corrected answers on test against M_0's, and against the initial answers they correct."""
    test = counts["test"]
    figures = {
        split: {number: estimate_figures(c, ["t2"])["t2"].value for number, c in counts[split].items()}
        for split in ("validation", "test")
    }
    if len(test) == 1:
        return [f"M_0, t2 against t1 on test: {compare(test[0], test[0], 't1', 't2').words()}"]
    lines = []
    for label, number, value in headline(figures["validation"], figures["test"]):
        if label == "paper metric":
            lines.append(
                f"{label}: the maximum over iterations of test t2 is {100 * value:.1f} (M_{number}), biased upwards"
            )
            continue
        against_base = "the selected checkpoint is the base model"
        if number:
            against_base = f"against M_0's: {compare(test[0], test[number]).words()}"
        within = compare(test[number], test[number], "t1", "t2").words()
        lines.append(f"{label} M_{number}: test t2 {100 * value:.1f}; {against_base}; against its own t1: {within}")
    return lines
