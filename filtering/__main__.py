"""Step 3 of Algorithm 1 (arXiv 2503.08681): score what M_n generated, and select D_n, which M_{n+1} is trained on.

    python -m filtering run=demo iteration=2

Reads runs/demo/questions/, iter_02/initial_answers/ and iter_02/corrections/; with samples_of=<run>, those of that run.
Writes iter_02/trajectories/ (all pairs), iter_02/metrics.json and iter_02/sft/ (the kept pairs), in this order.
"""

import time
from itertools import accumulate
from typing import Any

import polars as pl

from conf.stored import load, samples_run
from conf.strategy import samples_per_question
from filtering import shards, stage
from filtering.baselines import end_of_turn
from filtering.configured import settings_of
from filtering.filters import any_kept, first_turns, select
from filtering.report import describe
from filtering.settings import Settings
from filtering.source import Source
from filtering.workers import num_processes, spread
from store.errors import stage_main
from store.run import Run, iteration_number, locked, stage_arguments
from store.schemas import SPLITS


def main(argv: list[str]) -> None:
    arguments = stage_arguments(argv, "filtering", "run", "iteration")
    run, n = Run(arguments["run"]), iteration_number(arguments["iteration"])
    config = load(run, rescored=True)
    settings, label = settings_of(config), f"iter_{n:02d} filtering"
    with locked(run):
        num_corrections = {split: samples_per_question(config, split).num_corrections for split in SPLITS}
        rounds, judged = config.eval.rounds, config.judge is not None
        source = Source(samples_run(run), n, num_corrections, into=run, rounds=rounds, judged=judged)
        stage.refuse_other_function(run, source, settings.scoring)
        if stage.is_complete(source, settings):
            print(f"{label}: complete", flush=True)
            return
        started = time.monotonic()
        processes = num_processes(config.launcher.filter_processes, source.num_pairs, settings.scoring)
        summary = filter_iteration(source, settings, n, processes, config.reward.max_unscorable)
        took = stage.publish_stats(source, started, processes)
        print(f"{label}: {took}\n{describe(summary, trains=not config.models_of)}", flush=True)


def filter_iteration(
    source: Source, settings: Settings, n: int, processes: int = 1, max_unscorable: float = 0.01
) -> dict[str, Any]:
    """Write iteration n's trajectories, metrics.json (returned) and D_n; leave out at most max_unscorable of pairs."""
    header = stage.header_of(source, settings, n)
    files = [(split, file) for split in SPLITS for file in source.files(split)]
    end = end_of_turn(source) if settings.trains_on == "gold_answers" else None
    with spread(min(processes, len(files)), source, settings) as each:
        # Read the questions x_i, y1_ij and y2_ijk; join every y2_ijk with its own y1_ij; score: r(y1), r(y2).
        scores, pairs, quarantined = zip(*each(shards.score, files), strict=True)
        stage.refuse_unscorable(source, pairs, quarantined, max_unscorable)

        # Select D_n: D+ = {r(y2) > r(y1)}, Improving, or D+ ∪ D=, D= = {r(y2) = r(y1) >= t}, Non-decreasing.
        together, ends = pl.concat(pairs), accumulate(map(len, pairs))
        reasons = select(together, settings.filter, settings.options)
        selected = first_turns(together, reasons, settings.options)  # trains_on=both: {y1 : r(y1) >= t} beside them
        of_shards = [selected[end - len(some) : end] for some, end in zip(pairs, ends, strict=True)]
        del pairs, together, reasons, selected

        # Write every pair with its reason, and D_n as prompts and completions.
        names = stage.sft_names([shard for shard, some in zip(files, of_shards, strict=True) if any_kept(some)])
        written = each(shards.write, [
            (*shard, header, score, lost, some, names.get(shard), end)
            for shard, score, lost, some in zip(files, scores, quarantined, of_shards, strict=True)
        ])  # fmt: skip
    lost = dict(zip(files, quarantined, strict=True))
    return stage.finish(source, settings, header, lost, dict(zip(files, written, strict=True)), names)


if __name__ == "__main__":
    stage_main(main)
