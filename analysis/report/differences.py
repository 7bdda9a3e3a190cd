"""Draw the comparisons that a question came to: a line each, with its interval, beside no difference at all.

    python -m analysis.report.differences transfer=demo
    python -m analysis.report.differences explain=demo
    python -m analysis.report.differences ablation=filter_ablation
    python -m analysis.report.differences study=study_skills

Reads what analysis.transfer, explain, ablation or study read of that run or sweep; writes runs/_comparisons/<its
name>-<question>.png and .svg, for transfer of each run that it made.
"""

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence

import matplotlib
from matplotlib.figure import Figure

from analysis import ablation, explain, study, transfer
from analysis.report.drawing import BLUE, INK, MUTED, PANEL, STYLE, draw_legend, write_figure
from analysis.stats.comparisons import Comparison, adjust
from store.errors import ConfigError, stage_main
from store.run import RUNS, Run, stage_arguments

LINE = 0.24  # inches of height for a comparison
TITLE = 60  # characters that a line of the title has room for; a run's name may have a hundred
Compared = Sequence[tuple[str, Comparison]]


def main(argv: list[str]) -> None:
    """Draw one question's comparisons."""
    arguments = stage_arguments([f"{key}=" for key in QUESTIONS] + argv, "analysis.report.differences", *QUESTIONS)
    asked = {key: name for key, name in arguments.items() if name}
    if len(asked) != 1:
        raise ConfigError(f"one of {', '.join(f'{key}=<name>' for key in QUESTIONS)} was expected")
    ((question, name),) = asked.items()
    for stem, title, compared in QUESTIONS[question](name):
        if compared:
            write_figure(lines(title, compared), RUNS / "_comparisons" / f"{stem}-{question}", question)
        else:
            print(f"{stem}: nothing is compared, so nothing is drawn", flush=True)


def of_transfer(name: str) -> Iterator[tuple[str, str, Compared]]:
    """Yield every transfer of a run: t1 and t2 of each M_n against M_0's."""
    for each in transfer.required_transfers(Run(name)):
        named = [(f"M{row.number}: {figure}", found) for row in each.rows for figure, found in row.compared.items()]
        yield each.run, f"{each.run}, against M0", named


def of_explain(name: str) -> Iterator[tuple[str, str, Compared]]:
    """Yield the change of t1 in every group of test questions."""
    found = explain.explained(Run(name))
    named = [(f"{each.name} ({each.t1[0].num_questions:,})", each.change) for each in found.groups]
    yield name, f"t1 of M{found.last} against M0's", named


def of_ablation(name: str) -> Iterator[tuple[str, str, Compared]]:
    """Yield t2 of every filter against that of as many random rows."""
    compared = ablation.against_random(ablation.arms_of(name))
    yield name, "t2 against random rows of equal size", list(compared.items())


def of_study(name: str) -> Iterator[tuple[str, str, Compared]]:
    """Yield what the corrections of every recipe are compared with."""
    yield name, "Recipes", study.all_comparisons(study.recipes_by_name(name))


QUESTIONS: Mapping[str, Callable[[str], Iterator[tuple[str, str, Compared]]]] = {
    "transfer": of_transfer, "explain": of_explain, "ablation": of_ablation, "study": of_study,
}  # fmt: skip


def lines(title: str, compared: Compared) -> Figure:
    """Draw comparisons from top to bottom. Filled are those of which the words say so, all adjusted together (Holm); a
    comparison without a value has its name alone."""
    p_values = adjust([each.p_value for _, each in compared])
    with matplotlib.rc_context(STYLE | {"axes.grid.axis": "x"}):
        figure = Figure(figsize=(PANEL[0] * 1.9, 0.9 + LINE * len(compared)), layout="constrained")
        axes = figure.add_subplot()
        for row, ((_, each), p_value) in enumerate(zip(compared, p_values, strict=True)):
            value, low, high = (100 * number for number in (each.difference.value, *each.difference[1:3]))
            shown = each.words(p_value).startswith(("higher", "lower"))
            label = "differs" if shown else "no difference shown"
            known = axes.get_legend_handles_labels()[1]
            axes.hlines(row, low, high, color=BLUE if shown else MUTED, linewidth=1.4)
            axes.plot(value, row, linestyle="none", marker="o", markersize=5, color=BLUE if shown else MUTED,
                      markerfacecolor=BLUE if shown else "white", label="" if label in known else label)  # fmt: skip
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_ylim(len(compared) - 0.5, -0.5)
        axes.set_yticks(range(len(compared)), [name for name, _ in compared])
        axes.set_title(textwrap.fill(title, TITLE), pad=20)
        axes.set_xlabel("difference (points), 95 % interval")
        draw_legend(axes)
    return figure


if __name__ == "__main__":
    stage_main(main)
