"""A study: recipes over seeds, against their own first answers, M_0 asked twice, STaR and self-consistency.

    python -m analysis.study sweep=study
    python -m analysis.study sweep=study print=paper     the runs of recipe=paper, a line each
    python -m analysis.study sweep=study print=m0        every run, and the baseline whose samples its own copies

The runs of a sweep over `recipe` and `seed`, each at its last iteration on test, means over seeds. STaR is trained on
correct first answers from as many tokens as the paper's recipe took, `<run>-star` of recipe=paper with the same seed;
several answers of M_0 take the tokens of the recipe's own, `<run>-m0` of each run (make study makes both). All
comparisons of the table are adjusted together (Holm). Reads trajectories; writes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from analysis.baselines import votes
from analysis.baselines.budget import num_answers
from analysis.baselines.rows import EQUAL, MIN_VOTES, Answers, missing, per_answer
from analysis.iterations import finished_iterations
from analysis.run_rows import RunRow, read_row
from analysis.runs import by_experiment, finished, num_trained, uneven
from analysis.stats.comparisons import Comparison, adjust
from analysis.stats.counts import QuestionCounts
from analysis.stats.seeds import compare_over_seeds, estimate_over_seeds
from analysis.trajectories import question_counts
from conf.identity import AFTER_BASE_MODEL, EXECUTION, OF_A_RUN, SAMPLE_SIZES, without
from conf.stored import load, read_settings
from store.errors import BadInput, ConfigError, stage_main
from store.fingerprint import digest
from store.run import Run, stage_arguments

HEADER = "{:<24}{:>6}{:>9}{:>8}   {:<22}{}"
TITLES = ("recipe", "seeds", "rows", "tokens", "t1 (95 % interval)", "t2 (95 % interval)")


class Recipe(NamedTuple):
    """The runs of a recipe, one for each seed."""

    name: str
    rows: Sequence[RunRow]

    @property
    def last(self) -> list[QuestionCounts]:
        """Return the counts on test of every run's last model."""
        return [row.test[row.last] for row in self.rows]


def main(argv: list[str]) -> None:
    """Print the table of a sweep, or the names of some of its runs."""
    arguments = stage_arguments(["print=", *argv], "analysis.study", "sweep", "print")
    sweep, asked = arguments["sweep"], arguments["print"]
    if asked == "m0":
        print("\n".join(f"{run}:{pool}" for run, pool in answers_of_m0(result["run"] for result in finished(sweep))))
        return
    if asked:
        recipes = {result["run"]: recipe_of(result) for result in finished(sweep)}
        if asked not in recipes.values():
            there = ", ".join(sorted(set(recipes.values())))
            raise ConfigError(f"print={asked!r} was given, m0 or a recipe of sweep={sweep} was expected: {there}")
        print("\n".join(run for run, recipe in recipes.items() if recipe == asked))
        return
    print("\n".join(table(recipes_by_name(sweep))), flush=True)


def recipes_by_name(sweep: str) -> list[Recipe]:
    """Return the recipes of a study, the paper's first; ConfigError where it is not among them."""
    results = {result["run"]: recipe_of(result) for result in finished(sweep)}
    recipes = recipes_of(sweep, results, "recipe")
    recipes.sort(key=lambda recipe: (recipe.name != "paper", recipe.name))
    if not recipes or recipes[0].name != "paper":
        raise ConfigError("the sweep has no finished run of recipe=paper, which the others are compared with: add it")
    return recipes


def recipes_of(sweep: str, names: Mapping[str, str], varied: str) -> list[Recipe]:
    """Group a sweep's runs by seed. names: {run: what its recipe is called}; varied: the setting that tells recipes
    apart. BadInput where another one does too, or where recipes have different seeds or one."""
    found: dict[str, Recipe] = {}
    for rows in by_experiment([read_row(Run(run)) for run in names]):
        name = names[rows[0].run]
        if name in found:
            raise BadInput(
                f"sweep={sweep}: {found[name].rows[0].run} and {rows[0].run} differ in more than {varied} and seed"
            )
        found[name] = Recipe(name, sorted(rows, key=lambda row: row.seed))
    refuse_uneven_seeds(sweep, list(found.values()))
    return list(found.values())


def refuse_uneven_seeds(sweep: str, recipes: Sequence[Recipe]) -> None:
    """Raise BadInput unless all have the same seeds, two or more."""
    if alone := [recipe.name for recipe in recipes if len(recipe.rows) < 2]:
        raise BadInput(f"sweep={sweep} has one seed of {', '.join(alone)}: give seed=0,1,2 (three or more)")
    seeds = {recipe.name: [row.seed for row in recipe.rows] for recipe in recipes}
    if len({tuple(each) for each in seeds.values()}) > 1:
        raise BadInput(f"sweep={sweep} is not finished, these have different seeds ({seeds}): run it again")


def recipe_of(result: dict) -> str:
    """Return the recipe of a run, by the overrides that the sweep gave it."""
    given = [override.partition("=")[2] for override in result["overrides"] if override.startswith("recipe=")]
    return given[0] if given else "paper"


def answers_of_m0(runs: Iterable[str]) -> list[tuple[str, str]]:
    """Return every run, and the run that its `-m0` copies the answers of M_0 from: the one of the run that takes the
    most of those that differ in nothing these depend on, which stands before them with "null", as it draws its own."""
    drawn: dict[str, str] = {}
    found = []
    for run in sorted(map(Run, runs), key=num_answers, reverse=True):
        same = digest(without(read_settings(run.config), (*OF_A_RUN, *EXECUTION, *SAMPLE_SIZES, *AFTER_BASE_MODEL)))
        found.append((run.name, drawn.get(same, "null")))
        drawn.setdefault(same, f"{run.name}-m0")
    return found


def table(recipes: Sequence[Recipe]) -> list[str]:
    """Return a line a recipe, the paper's first, then a line a comparison."""
    lines = [HEADER.format(*TITLES)]
    for recipe in recipes:
        t1, t2 = (estimate_over_seeds(recipe.last, figure).with_interval() for figure in ("t1", "t2"))
        rows, tokens = sum(map(num_trained, recipe.rows)), sum(map(answer_tokens, recipe.rows)) / len(recipe.rows)
        lines.append(HEADER.format(recipe.name, len(recipe.rows), f"{rows:,}", f"{tokens:.1f}", t1, t2).rstrip())
    lines += uneven(row for recipe in recipes for row in recipe.rows)
    compared = all_comparisons(recipes)
    p_values = adjust([comparison.p_value for _, comparison in compared])
    lines.append(f"\n{len(compared)} comparisons, p-values adjusted together (Holm)")
    lines += [f"{name:<64}{each.words(p)}" for (name, each), p in zip(compared, p_values, strict=True)]
    return lines


def all_comparisons(recipes: Sequence[Recipe]) -> list[tuple[str, Comparison]]:
    """Return what every recipe's corrections are compared with, by name. recipes: the paper's first."""
    return [named for recipe in recipes for named in comparisons(recipe, recipes[0])]


def comparisons(recipe: Recipe, paper: Recipe) -> Iterator[tuple[str, Comparison]]:
    """Yield what a recipe's corrections are compared with, each on the same questions and seeds."""
    own, name = recipe.last, recipe.name
    yield f"{name}: t2 against its own t1", compare_over_seeds(own, own, "t1", "t2")
    yield f"{name}: t2 against M_0's t2", compare_over_seeds([row.test[0] for row in recipe.rows], own)
    if recipe is not paper:
        yield f"{name}: t2 against paper's t2", compare_over_seeds(paper.last, own)
    if star := baseline(paper, "star", 1):
        yield f"{name}: t2 against STaR's first answer", compare_over_seeds(star, own, "t1", "t2")
    if several := of_several(recipe):
        yield f"{name}: t2 against {several.name}", compare_over_seeds(several.counts, own, "t1", "t2")


def baseline(recipe: Recipe, which: str, iteration: int) -> list[QuestionCounts]:
    """Return the counts on test of a baseline of every run of a recipe; [] where one lacks, BadInput where one is not
    like its run."""
    return [question_counts(each.iteration(iteration), "test") for each in made_for(recipe, which, iteration)]


def made_for(recipe: Recipe, which: str, iteration: int) -> list[Run]:
    """Return `<run>-<which>` for every run of a recipe, as far as this iteration; [] where one lacks, BadInput where
    one is not like its run."""
    made = [Run(f"{row.run}-{which}") for row in recipe.rows]
    if not all(each.iteration(iteration).metrics.exists() for each in made):
        return []
    for row, each in zip(recipe.rows, made, strict=True):
        if why := missing(Run(row.run), each, finished_iterations(each), iteration + 1):
            raise BadInput(f"{why}: move it aside, then `make baseline-{which} RUN={row.run}` makes it")
    return made


class Several(NamedTuple):
    """What several answers of M_0 come to, a run for each seed."""

    name: str
    counts: list[QuestionCounts]


def of_several(recipe: Recipe) -> Several | None:
    """Return the majority of so many answers of M_0 as take the tokens of a recipe's answer; where these are fewer than
    three, any correct one of them, which no majority can beat; one at the least, though it takes more. None where the
    samples were not made."""
    runs = made_for(recipe, "m0", 0)
    if not runs:
        return None
    samples, sizes, shares = [votes.read_samples(each.iteration(0), "initial") for each in runs], [], []
    for row, found in zip(recipe.rows, samples, strict=True):
        number = sum(map(len, found.values()))
        wanted = answer_tokens(row) * number / votes.num_tokens(found)
        sizes.append(min(number / len(found), max(1, wanted)))
        shares.append(sizes[-1] / wanted)
    is_majority, mean = min(sizes) >= MIN_VOTES, sum(sizes) / len(sizes)
    choose = votes.majority if is_majority else votes.any_right
    name = f"M_0's majority of {mean:.1f}" if is_majority else f"any correct of {mean:.1f} answers of M_0"
    if min(shares) < 1 - EQUAL:
        name += f" (only {min(shares):.0%} of its tokens)"
    elif max(shares) > 1 + EQUAL:
        name += f" ({max(shares):.0%} of its tokens)"
    chosen = [votes.decide(votes.first_of(each, size), choose) for each, size in zip(samples, sizes, strict=True)]
    return Several(name, chosen)


def answer_tokens(row: RunRow) -> float:
    """Return the tokens of one correction with the initial answers that it reads, the mean over test."""
    return per_answer(Answers(row.test[row.last], "t2", load(Run(row.run)).prompt.num_answers))


if __name__ == "__main__":
    stage_main(main)
