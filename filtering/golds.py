"""Check that the rewards of a run can use its gold answers and that no prompt shows them, before anything is generated.

    python -m filtering.golds run=demo

Reads runs/demo/config.yaml and runs/demo/questions/; with samples_of=<run>, that run's questions. Writes nothing. A
function of the user's (reward=python) is tried on some training questions, with a gold answer as the text. With
reward=unit_tests a question's gold answer is a program that is right: it must pass all of its tests.
"""

import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from conf.reward_file import UNIT_TESTS
from conf.stored import load, samples_run
from filtering.configured import function_of
from filtering.rewards import GOLD_PROBLEMS, own, require_known, unit_tests
from filtering.rewards.own import Function
from store.errors import BadInput, stage_main
from store.run import Run, stage_arguments
from store.schemas import SPLITS, questions
from store.shards import iter_shards, required_manifest

TRIED = 8  # questions


def main(argv: list[str]) -> None:
    run = Run(stage_arguments(argv, "filtering.golds", "run")["run"])
    config, asked = load(run, rescored=True), samples_run(run)
    check_golds(asked, config.reward.computed)
    check_columns(asked, config.prompt.columns)
    if UNIT_TESTS in config.reward.computed:
        print(check_solutions(asked), flush=True)
    if function := function_of(config.reward):
        print(tried(asked, function), flush=True)


def check_columns(run: Run, columns: Sequence[str]) -> None:
    """Raise BadInput for a further column that stands in a prompt and mostly is a gold answer."""
    if not columns:
        return
    rows = read(run, "train")
    for name in columns:
        same = sum(json.loads(row[name]) in (*row["answers"], row["answers"]) for row in rows)
        if 2 * same > len(rows):
            raise BadInput(
                f"{run.questions}: prompt.columns takes {name}, which is a gold answer in {same:,} of {len(rows):,} "
                "training questions, and these never reach a prompt: leave it out, in another run"
            )


def check_solutions(run: Run) -> str:
    """Return how many questions have tests that their gold answer passes, all of them; BadInput for the first other."""
    num_tests, num_questions, started = 0, 0, time.monotonic()
    for split in SPLITS:
        for row in read(run, split):
            asked = unit_tests.of_row(row)
            place = f"{run.questions}: question {row['question_id']!r} of {split}"
            if not asked.task.tests:
                raise BadInput(f"{place} has no tests in test_list, nor in test and entry_point: leave it out")
            if (share := unit_tests.share(row["answers"][0], asked)) < 1:
                raise BadInput(f"{place}: its gold answer passes {share:.0%} of its tests: change one or the other")
            num_tests, num_questions = num_tests + len(asked.task.tests), num_questions + 1
    return (
        f"the gold answers of {num_questions:,} questions pass their {num_tests:,} tests, "
        f"{time.monotonic() - started:.0f} s in the sandbox"
    )


def tried(run: Run, function: Function) -> str:
    """Return how a function scores the gold answers of some training questions; ConfigError where it cannot."""
    rows = read(run, "train")[:TRIED]
    columns = {name: [json.loads(row[name]) for row in rows] for name in function.columns}
    asked, golds = [row["question"] for row in rows], [row["answers"] for row in rows]
    place, name = f"{run.questions}, gold answers", lambda row: f"question_id={rows[row]['question_id']!r}"
    scores = own.score(function, own.Rows(asked, [aliases[0] for aliases in golds], golds, columns, place, name))
    mean = f"{np.nanmean(scores):.3g}" if np.isfinite(scores).any() else "nan"
    return f"{function.file}:{function.name} gives the gold answers of {len(rows)} questions {mean} on average"


def read(run: Run, split: str) -> list[dict[str, Any]]:
    """Return the questions of a split, whole."""
    manifest = required_manifest(run.questions, f"python -m data run={run.name}")
    schema = questions(manifest.settings)
    return [row for _, table in iter_shards(run.questions, manifest, split, schema) for row in table.to_pylist()]


def check_golds(run: Run, rewards: list[str]) -> None:
    """Raise BadInput for the first question of a run of whose gold aliases a reward can use none; ConfigError for a
    reward that is not known."""
    require_known(rewards)
    manifest = required_manifest(run.questions, f"python -m data run={run.name}")
    columns = ("question_id", "answers")
    for split in SPLITS:
        for file, table in iter_shards(run.questions, manifest, split, questions(manifest.settings), columns):
            for key, aliases in zip(*(table[name].to_pylist() for name in columns), strict=True):
                for reward in filter(GOLD_PROBLEMS.get, rewards):
                    problem_of = GOLD_PROBLEMS[reward]
                    if all(problem_of(alias) for alias in aliases):  # mostly the first one is of use
                        raise BadInput(
                            f"{run.questions / file}: question {key!r}: reward={reward} cannot use the gold answer "
                            f"{aliases[0]!a:.200}: it {problem_of(aliases[0])}. Change "
                            "that, and run the same command again"
                        )


if __name__ == "__main__":
    stage_main(main)
