"""Check that the rewards of a run can use its gold answers, before anything is generated.

    python -m filtering.golds run=demo

Reads runs/demo/config.yaml and runs/demo/questions/; with samples_of=<run>, that run's questions. Writes nothing.
"""

from conf.schema import load
from conf.stored import samples_run
from filtering.rewards import GOLD_PROBLEMS, require_known
from store.errors import BadInput, stage_main
from store.run import Run, stage_arguments
from store.schemas import QUESTIONS, SPLITS
from store.shards import iter_shards, required_manifest


def main(argv: list[str]) -> None:
    run = Run(stage_arguments(argv, "filtering.golds", "run")["run"])
    reward = load(run, rescored=True).reward
    check_golds(samples_run(run), [reward.name, *reward.also])


def check_golds(run: Run, rewards: list[str]) -> None:
    """Raise BadInput for the first question of a run of whose gold aliases a reward can use none; ConfigError for a
    reward that is not known."""
    require_known(rewards)
    manifest = required_manifest(run.questions, f"python -m data run={run.name}")
    columns = ("question_id", "answers")
    for split in SPLITS:
        for file, table in iter_shards(run.questions, manifest, split, QUESTIONS, columns):
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
