"""Does the selection matter? Filters over seeds, each against as many rows drawn at random.

    python -m analysis.ablation sweep=filter_ablation

The runs of a sweep over strategy.filter and seed, each at its last iteration on test, means over seeds. A filter is
compared with the one that draws as many rows at random (random_matched... , conf/strategy.py); all comparisons are
adjusted together (Holm). Reads trajectories; writes nothing.
"""

from collections.abc import Mapping

from analysis.runs import finished, num_trained, uneven
from analysis.stats.comparisons import Comparison, adjust
from analysis.stats.seeds import compare_over_seeds, estimate_over_seeds
from analysis.study import Recipe, recipes_of
from conf.stored import load
from conf.strategy import MATCHED
from store.errors import ConfigError, stage_main
from store.run import Run, stage_arguments

CONTROLS = {name: control for control, name in MATCHED.items()}  # of the same size
COLUMNS = "{:<32}{:>6}{:>8}{:>8}   {:<22}{:<22}{}"
TITLES = (
    "filter",
    "seeds",
    "rows",
    "copies",
    "t1 (95 % interval)",
    "t2 (95 % interval)",
    "t2 against random rows of equal size",
)


def main(argv: list[str]) -> None:
    """Print the table of a sweep."""
    print("\n".join(table(arms_of(stage_arguments(argv, "analysis.ablation", "sweep")["sweep"]))), flush=True)


def arms_of(sweep: str) -> dict[str, Recipe]:
    """Return {filter: its runs, one for each seed} of a sweep."""
    filters = {name: load(Run(name)).strategy.filter for name in (result["run"] for result in finished(sweep))}
    return {arm.name: arm for arm in recipes_of(sweep, filters, "filter")}


def against_random(arms: Mapping[str, Recipe]) -> dict[str, Comparison]:
    """Return {filter: its t2 against that of as many random rows}; ConfigError where none has its control."""
    compared = {
        name: compare_over_seeds(arms[CONTROLS[name]].last, arm.last)
        for name, arm in arms.items()
        if CONTROLS.get(name) in arms
    }
    if not compared:
        raise ConfigError(
            f"the sweep has {', '.join(arms)}, and no filter with the random rows that it is compared with "
            f"({', '.join(f'{control} for {name}' for name, control in CONTROLS.items())}): add one to strategy.filter"
        )
    return compared


def table(arms: Mapping[str, Recipe]) -> list[str]:
    """Return a line for each filter, and the sentence that the numbers allow."""
    compared = against_random(arms)
    p_values = dict(zip(compared, adjust([each.p_value for each in compared.values()]), strict=True))
    words = {name: each.words(p_values[name]) for name, each in compared.items()}
    lines = [COLUMNS.format(*TITLES)]
    for name, arm in arms.items():
        t1, t2 = (estimate_over_seeds(arm.last, figure).with_interval() for figure in ("t1", "t2"))
        copies = f"{100 * estimate_over_seeds(arm.last, 'copy_rate').value:.0f}%"
        rows = f"{sum(map(num_trained, arm.rows)):,}"
        lines.append(COLUMNS.format(name, len(arm.rows), rows, copies, t1, t2, words.get(name, "")).rstrip())
    differ = [name for name, said in words.items() if not said.startswith("no difference")]
    lines += uneven(row for arm in arms.values() for row in arm.rows)
    return [*lines, f"Adjusted together (Holm, {len(compared)}): {sentence(differ)}"]


def sentence(differ: list[str]) -> str:
    """Say which filters differ from random rows."""
    if not differ:
        return "no filter is shown to differ from as many rows drawn at random"
    return f"{', '.join(differ)} differ{'s' if len(differ) == 1 else ''} from as many rows drawn at random"


if __name__ == "__main__":
    stage_main(main)
