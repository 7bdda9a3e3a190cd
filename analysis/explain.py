"""Facts or reasoning? How t1 changed from M_0 to the last M_n, by what training could have taught of a question.

    python -m analysis.explain run=demo

Trained are the questions of the rows that M_n has learned from: with fixed fine-tuning, those of the last iteration
before it alone. A test question is one of those, or nearly (`question
trained`); or only has a gold answer of one (`gold answer trained`); or neither (data/overlap.py). A question of
DATA=skills also is of a trained skill, or not. For each group: t1, its change, and what corrections do
(analysis/stats/taxonomy.py). A transfer's questions are held against what its models were trained on. Reads
trajectories; writes nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from analysis.inspection.selection import read_tables
from analysis.iterations import finished_iterations
from analysis.stats.comparisons import Comparison, adjust, compare, difference_of
from analysis.stats.counts import QuestionCounts, on_shared_questions
from analysis.stats.intervals import Estimate, estimate_figures
from analysis.stats.taxonomy import CATEGORIES, categories
from analysis.trajectories import question_counts
from conf.stored import load, taught_run
from conf.strategy import answers_from, learned_from
from data.overlap import find_overlap
from data.rows import Question
from data.skills import kind_of
from store.errors import ConfigError, stage_main
from store.run import Iteration, Run, stage_arguments
from store.schemas import sft
from store.shards import iter_shards, required_manifest

ALL, QUESTION, ANSWER, NEITHER = "all", "question trained", "gold answer trained", "neither trained"
SKILL, OTHER_SKILL = "skill trained", "skill not trained"
MIN_QUESTIONS = 2  # of one there is no interval
COLUMNS = "{:<21}{:>10}   {:<22}{:<22}{:<24}" + "{:>16}" * len(CATEGORIES)


class Group(NamedTuple):
    """Test questions. t1: of M_0 and of M_n; change: between them; did: the share of their pairs in each category of
    what corrections do, by M_0 and by M_n."""

    name: str
    t1: tuple[Estimate, Estimate]
    change: Comparison
    did: Mapping[str, tuple[float, float]]


class Explained(NamedTuple):
    """groups: of the test questions of a run; M_last of `taught` answered them."""

    taught: str
    last: int
    groups: list[Group]


def main(argv: list[str]) -> None:
    """Print the table of a run, and what either mechanism would predict beside what was found."""
    run = Run(stage_arguments(argv, "analysis.explain", "run")["run"])
    taught, last, groups = explained(run)
    print("\n".join([f"run {run.name}, test: t1 of M_0 and M_{last}, trained on {taught}", *describe(groups)]))


def explained(run: Run) -> Explained:
    """Measure the groups of a run; ConfigError where it trained nothing, or where t1 cannot change."""
    iterations = finished_iterations(run)
    if len(iterations) < 2:
        raise ConfigError(f"{run.dir} has no trained model to explain: run `make iterate N=1 RUN={run.name}` first")
    config, last = load(run, rescored=True), iterations[-1].number
    taught = taught_run(run)
    if answers_from(config, last, "test") != last:
        raise ConfigError(
            f"{run.dir}: M_0 gives all first answers on test (strategy={config.strategy.name}), so t1 cannot change: "
            f"`make transfer RUN={taught.name} ON=own` asks every M_n, then `make explain RUN={taught.name}-on-own`"
        )
    first, last_one = iterations[0], iterations[-1]
    asked = {each.question_id: each for some in (first, last_one) for each in questions(some, "test")}
    groups = measure(first, last_one, group(trained(taught, last), list(asked.values())))
    return Explained(taught.name, last, groups)


def trained(run: Run, last: int) -> list[Question]:
    """Return the training questions of the rows that M_last has learned from."""
    learned = learned_from(load(run), last)
    iterations = (iteration for iteration in finished_iterations(run) if iteration.number in learned)
    found: dict[str, Question] = {}
    for iteration in iterations:
        ids = of_rows(iteration)
        found |= {each.question_id: each for each in questions(iteration, "train") if each.question_id in ids}
    return list(found.values())


def of_rows(iteration: Iteration) -> set[str]:
    """Return the ids of the questions of D_n: of kept pairs, and of initial answers trained beside them."""
    manifest = required_manifest(iteration.sft, "make iterate")
    schema = sft(manifest.extra.get("is_mixed", False))
    shards = iter_shards(iteration.sft, manifest, "train", schema, ["question_id"])
    return {id for _, table in shards for id in table["question_id"].to_pylist()}


def questions(iteration: Iteration, split: str) -> list[Question]:
    """Return the questions of a split's pairs, each once."""
    found: dict[str, Question] = {}
    for table in read_tables(iteration, split):
        columns = (table[name].to_pylist() for name in ("question_id", "question", "answers"))
        found |= {id: Question(id, text, answers, "", 0) for id, text, answers in zip(*columns, strict=True)}
    return list(found.values())


def group(trained: Sequence[Question], asked: Sequence[Question]) -> dict[str, set[str]]:
    """Return {group: question ids} of the questions asked, by what training could have taught; groups of skills where
    these are questions of skills."""
    shared, kinds = find_overlap(trained, asked), {kind_of(each.question_id) for each in trained}
    groups: dict[str, set[str]] = defaultdict(set)
    for each in asked:
        found = shared.get(each.question_id, {})
        name = QUESTION if "near_duplicate" in found else ANSWER if "shared_answer" in found else NEITHER
        groups[ALL].add(each.question_id)
        groups[name].add(each.question_id)
        if kind := kind_of(each.question_id):
            groups[SKILL if kind in kinds else OTHER_SKILL].add(each.question_id)
    return {name: groups[name] for name in (ALL, QUESTION, ANSWER, NEITHER, SKILL, OTHER_SKILL) if name in groups}


def measure(first: Iteration, last: Iteration, groups: Mapping[str, set[str]]) -> list[Group]:
    """Return every group that has questions enough."""
    (before, after), _ = on_shared_questions(*(question_counts(iteration, "test") for iteration in (first, last)))
    did = changes(first), changes(last)
    scored = set(before.question_ids.tolist())  # of both; of others no pair could be
    return [
        measure_group(name, before, after, ids & scored, len(ids - scored), did)
        for name, ids in groups.items()
        if len(ids & scored) >= MIN_QUESTIONS
    ]


def measure_group(
    name: str, before: QuestionCounts, after: QuestionCounts, ids: set[str], num_left_out: int,
    did: Sequence[Mapping[str, Counter[str]]],
) -> Group:  # fmt: skip
    """Estimate t1 of both models on some questions, its change, and what their corrections did."""
    old, new = (counts.restricted_to(sorted(ids)) for counts in (before, after))
    first, last = (estimate_figures(counts, ["t1"])["t1"] for counts in (old, new))
    by_first, by_last = (sum((of_model[each] for each in ids), Counter[str]()) for of_model in did)
    shares = {name: (by_first[name] / by_first.total(), by_last[name] / by_last.total()) for name in CATEGORIES}
    change = compare(old, new, "t1", "t1")._replace(num_left_out=num_left_out)
    return Group(name, (first, last), change, shares)


def changes(iteration: Iteration) -> dict[str, Counter[str]]:
    """Return {question id: pairs by category of what the correction does} of test."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for table in read_tables(iteration, "test"):
        for question_id, category in zip(table["question_id"].to_pylist(), categories(table), strict=True):
            found[question_id][category] += 1
    return found


def describe(groups: Sequence[Group]) -> Iterator[str]:
    """Yield the table, then what each mechanism predicts beside what was found."""
    yield COLUMNS.format("", "questions", "t1 of M_0 (95 %)", "t1 of M_n (95 %)", "change, points", *CATEGORIES)
    for each in groups:
        t1 = (estimate.with_interval() for estimate in each.t1)
        did = (f"{100 * old:.0f} -> {100 * new:.0f} %" for old, new in each.did.values())
        number = f"{each.t1[0].num_questions:,}"
        yield COLUMNS.format(each.name, number, *t1, each.change.difference.with_interval(), *did).rstrip()
    p_values = adjust([each.change.p_value for each in groups])
    found = {each.name: each.change.words(p) for each, p in zip(groups, p_values, strict=True)}
    changed = {each.name: each.change.difference for each in groups}
    yield "Changes adjusted together (Holm); between two groups, as they stand:"
    yield (
        "Memory of facts would raise t1 where a question or its gold answer was trained, and not where neither was; "
        f"found: {said(found, QUESTION, ANSWER, NEITHER)}; {against(changed, ANSWER, NEITHER)}."
    )
    yield (
        "A skill would raise it where neither was trained as well, and for questions of the skills alone that were; "
        f"found: {said(found, NEITHER, SKILL, OTHER_SKILL)}; {against(changed, SKILL, OTHER_SKILL)}."
    )


def said(found: Mapping[str, str], *names: str) -> str:
    """Return what was found in some groups, those that there are."""
    return "; ".join(f"{name}, {found.get(name, 'too few questions to say')}" for name in names)


def against(changed: Mapping[str, Estimate], name: str, other: str) -> str:
    """Return what may be said of the change in one group against that in another: one may be shown, the other not, and
    no difference between them."""
    if name not in changed or other not in changed:
        return f"{name} against {other}, nothing to compare"
    return f"{name} against {other}, {difference_of(changed[other], changed[name])}"


if __name__ == "__main__":
    stage_main(main)
