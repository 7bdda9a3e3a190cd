"""Score and filter what M_n generated: how it does, and the rows M_{n+1} is trained on.

    python -m filtering run=demo iteration=2

Reads runs/demo/questions/, iter_02/initial_answers/ and iter_02/corrections/; with samples_of=<run>, those of that run.
Writes iter_02/trajectories/ (all pairs), iter_02/metrics.json and iter_02/sft/ (the kept pairs), in this order.
"""

import json
import resource
import time

from conf.schema import Config, Strategy, load
from conf.stored import samples_run
from conf.strategy import samples_per_question
from filtering.compat import equal_only_filter, whole_text_score
from filtering.filters import FITTING, Options
from filtering.processes import num_processes
from filtering.report import describe
from filtering.rewards import REWARDS
from filtering.rewards.final_answer import after_marker
from filtering.settings import Scoring, Settings
from filtering.source import Source
from filtering.stage import filter_iteration, is_complete
from store.errors import ConfigError, stage_main
from store.publish import publish
from store.run import Run, iteration_number, locked, stage_arguments
from store.schemas import SPLITS


def main(argv: list[str]) -> None:
    arguments = stage_arguments(argv, "filtering", "run", "iteration")
    run, number = Run(arguments["run"]), iteration_number(arguments["iteration"])
    config = load(run, rescored=True)
    settings = settings_of(config)
    label = f"iter_{number:02d} filtering"
    with locked(run):
        num_corrections = {split: samples_per_question(config, split).num_corrections for split in SPLITS}
        source = Source(samples_run(run), number, num_corrections, into=run, rounds=config.eval.rounds)
        if is_complete(source, settings):
            print(f"{label}: complete", flush=True)
            return
        started = time.monotonic()
        processes = num_processes(config.launcher.filter_processes, source.num_pairs)
        summary = filter_iteration(source, settings, number, processes)
        used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        peak = max(usage.ru_maxrss for usage in used) * 1024
        costs = {"seconds": round(time.monotonic() - started, 3), "processes": processes, "peak_memory_bytes": peak}
        publish(source.folder.stats / "filtering.json", json.dumps(costs).encode(), replace=True)
        print(f"{label}: peak {peak / 2**30:.1f} GiB a process, {costs['seconds']:.0f} s", flush=True)
        print(describe(summary), flush=True)


def settings_of(config: Config) -> Settings:
    """The plain values of this stage, with the compat switches applied; ConfigError for what it does not know."""
    on = [name for name, value in config.compat.model_dump().items() if value]
    chosen = whole_text_score(config.reward.name) if config.compat.whole_text_score else config.reward.name
    name = filter_of(config.strategy)
    rewards = list(dict.fromkeys([chosen, config.reward.name, *config.reward.also]))
    unknown = [reward for reward in rewards if reward not in REWARDS]
    if unknown:
        raise ConfigError(f"reward {unknown[0]} is not known; there are {', '.join(REWARDS)}: start another run")
    marker = config.prompt.answer_marker
    if marker is not None and after_marker(f"{marker} x") != "x":
        raise ConfigError(
            f"prompt.answer_marker={marker!r} is not found as a marker; use 'Final Answer:' or 'Answer:' in another run"
        )
    return Settings(
        seed=config.seed,
        filter=equal_only_filter(name) if config.compat.equal_only_filter else name,
        trains_on=config.strategy.trains_on,
        options=Options(threshold=config.reward.threshold, **config.filter.model_dump()),
        scoring=Scoring(rewards, chosen, config.reward.threshold, expects_marker=marker is not None),
        compat=on,
        training_prompt=training_prompt(config),
    )


def filter_of(strategy: Strategy) -> str:
    """The name of FILTERS; ConfigError for a filter that says nothing about what is trained."""
    fitting = FITTING[strategy.trains_on]
    if strategy.filter not in fitting:
        raise ConfigError(
            f"strategy.filter={strategy.filter} does not fit strategy.trains_on={strategy.trains_on}, which takes "
            f"{' or '.join(fitting)}: start another run"
        )
    return fitting[strategy.filter]


def training_prompt(config: Config) -> list[dict[str, str]] | None:
    """prompt.training as plain messages where corrections are trained to it (compat.separate_training_prompt);
    ConfigError where it leaves out what was asked or answered."""
    if not config.compat.separate_training_prompt or config.strategy.trains_on != "corrections":
        return None
    text = "".join(message.content for message in config.prompt.training)
    missing = [name for name in ("{question}", "{initial_answer}") if name not in text]
    if missing:
        raise ConfigError(f"prompt.training lacks {' and '.join(missing)}: edit the preset, and start another run")
    return [message.model_dump() for message in config.prompt.training]


if __name__ == "__main__":
    stage_main(main)
