"""Does the judge agree with the rewards that were computed beside it? On every different text of an iteration.

    python -m analysis.agreement run=demo [iteration=1] [reward=answer_match] [show=10]

Reads runs/demo/iter_*/trajectories/; without iteration= the last one. Prints how often both call a text right, the
judge alone, the other reward alone, or neither, with Cohen's kappa; with reward= also texts on which the two differ.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis.inspection.selection import read_tables
from analysis.iterations import finished_iterations, metrics_of
from analysis.screen import escape_control_characters
from analysis.stats.agreement import Agreement
from conf.judges import JUDGE
from conf.reward_file import WEIGHTED
from conf.stored import samples_run
from store.errors import ConfigError, stage_main
from store.fingerprint import stable_hash
from store.run import Iteration, Run, iteration_number, stage_arguments
from store.schemas import SPLITS
from store.shards import required_manifest

ALONE = {(True, False): "judge", (False, True): "reward"}  # who calls a text right
COLUMNS = "{:<20}{:>8}{:>9}{:>9}{:>9}{:>9}{:>10}{:>8}"


@dataclass
class Compared:
    """A reward beside the judge. counts: {(right by the judge, by the reward): texts}; differing: some of those that
    one alone calls right, {who: rows}, drawn by a hash, the same whatever the shards."""

    reward: str
    counts: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    differing: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in ALONE.values()})

    @property
    def agreement(self) -> Agreement:
        """Return the counts by name."""
        return Agreement(*(self.counts[key] for key in ((True, True), (True, False), (False, True), (False, False))))


def main(argv: list[str]) -> None:
    given = ["iteration=", "reward=", "show=10", *argv]
    arguments = stage_arguments(given, "analysis.agreement", "run", "iteration", "reward", "show")
    run = Run(arguments["run"])
    if not arguments["show"].isdecimal():
        raise ConfigError(f"show={arguments['show']!r} was given, a number of texts was expected")
    iterations = finished_iterations(run)
    if arguments["iteration"]:
        number = iteration_number(arguments["iteration"])
        iterations = [iteration for iteration in iterations if iteration.number == number]
    if not iterations:
        raise ConfigError(f"{run.dir} has no such filtered iteration: run `make iterate RUN={run.name}` first")
    found = compare(iterations[-1], int(arguments["show"]))
    names = [each.reward for each in found]
    if not found:
        raise ConfigError(
            f"{run.dir}: its rewards are not reward={JUDGE} and others beside it: "
            f'`make rescore FROM={samples_run(run).name} RUN=<new name> ARGS="reward={JUDGE} judge=..."`'
        )
    if arguments["reward"] not in ("", *names):
        raise ConfigError(f"reward={arguments['reward']!r} is not beside the judge; there are {', '.join(names)}")
    print(f"{run.name}, {iterations[-1].dir.name}: texts that are right by the judge and by another reward")
    print(COLUMNS.format("reward", "texts", "both", "judge", "reward", "neither", "agree", "kappa"))
    for each in found:
        print(line(each))
    for name, rows in next((each.differing for each in found if each.reward == arguments["reward"]), {}).items():
        print(f"\nright by the {name} alone")
        for row in rows:
            print("\n".join(f"  {part}" for part in described(row)))


def compare(iteration: Iteration, num_shown: int) -> list[Compared]:
    """Return each reward that was computed beside the judge, in an iteration of which every different text of a
    question counts once; [] where there is no judge, or nothing beside it. num_shown: differing texts of each kind."""
    scoring = required_manifest(iteration.trajectories, "make iterate").settings["scoring"]
    others = [name for name in scoring["rewards"] if name not in (JUDGE, WEIGHTED)]
    if JUDGE not in scoring["rewards"]:
        return []
    found, threshold = [Compared(name) for name in others], np.float32(metrics_of(iteration)["threshold"])
    for split in SPLITS:
        for table in read_tables(iteration, split):
            for row in texts_of(table.to_pylist(), split):
                for each in found:
                    key = row[JUDGE] >= threshold, row[each.reward] >= threshold
                    each.counts[key] += 1
                    if key in ALONE:
                        each.differing[ALONE[key]].append(row)
            for each in found:
                for rows in each.differing.values():
                    rows.sort(key=lambda row: stable_hash(row["question_id"], row["text"]))
                    del rows[num_shown:]
    return found


def texts_of(pairs: list[dict[str, Any]], split: str) -> Iterator[dict[str, Any]]:
    """Yield every different text of the questions in a shard with its rewards; a question is in one shard. A verdict
    that keeps the initial answer is no text of its own, that answer is what was scored; of one that is missing nothing
    was."""
    seen = set()
    for pair in pairs:
        for side, name in (("initial", "initial_answer"), ("correction", "correction")):
            if side == "correction" and pair.get("verdict") in ("keep", "missing"):
                continue
            if (key := (pair["question_id"], pair[name])) not in seen:
                seen.add(key)
                rewards = {
                    column.removeprefix(f"{side}_"): value
                    for column, value in pair.items()
                    if column.startswith(f"{side}_") and isinstance(value, float)
                }
                yield rewards | {
                    "question_id": key[0], "question": pair["question"], "golds": pair["answers"], "text": key[1],
                    "split": split,
                }  # fmt: skip


def line(each: Compared) -> str:
    """Return a reward's row of the table."""
    found = each.agreement
    share = "-" if found.share is None else f"{100 * found.share:.1f} %"
    kappa = "-" if found.kappa is None else f"{found.kappa:.2f}"
    numbers = (found.num_texts, found.both, found.first, found.second, found.neither)
    return COLUMNS.format(each.reward, *(f"{number:,}" for number in numbers), share, kappa)


def described(row: dict[str, Any]) -> list[str]:
    """Return a text on which two rewards differ as lines for a terminal."""
    shown = (
        f"{row['question_id']}: {row['question']}",
        f"  gold {row['golds'][:4]}",
        f"  {row[JUDGE]:.2f} {row['text']!r}",
    )
    return [escape_control_characters(text) for text in shown]


if __name__ == "__main__":
    stage_main(main)
