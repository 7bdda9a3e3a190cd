"""What `make iterate` is about to do and, where this machine has done the like, about how long that takes.

    python -m analysis.ahead run=demo last=3       last=auto: as many iterations as it takes

Reads questions/, the plans and shards that are there, and what generation took in runs/*/iter_*/stats/ on this machine.
"""

import glob
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.watch import planned_shards
from conf.schema import Config
from conf.stored import load
from conf.strategy import answers_from, samples_per_question
from store.errors import PipelineError, stage_main
from store.run import PLAN, RUNS, Run, is_run_name, iteration_number, stage_arguments
from store.schemas import SPLITS
from store.shards import read_object, required_manifest


@dataclass(frozen=True)
class Rate:
    """What the workers of one iteration took on this machine; name: of its folder."""

    name: str
    samples_per_second: float  # of a worker, its engine's start included
    tokens_per_sample: float


def main(argv: list[str]) -> None:
    arguments = stage_arguments(argv, "analysis.ahead", "run", "last")
    run, last = Run(arguments["run"]), arguments["last"]
    config = load(run)
    shards = required_manifest(run.questions, f"python -m data run={run.name}").shards
    questions = {
        split: sum(s["rows"] for name, s in shards.items() if name.startswith(f"{split}-")) for split in SPLITS
    }
    numbers = range(1 if last == "auto" else iteration_number(last) + 1)
    samples = {n: samples_of(run, config, n, questions) for n in numbers}
    print("\n".join(describe(samples, config.sampling.max_tokens, last_rate(config), last == "auto")), flush=True)


def samples_of(run: Run, config: Config, n: int, questions: Mapping[str, int]) -> int:
    """Count the samples that iteration n has yet to draw, none where it copies them. questions: of each split."""
    if n == 0 and config.launcher.pool:
        return 0
    iteration = run.iteration(n)
    if (iteration.dir / PLAN).exists():
        return sum(size for path, size in planned_shards(iteration) if not path.exists())
    return sum(count * samples_of_a_question(config, n, split) for split, count in questions.items())


def samples_of_a_question(config: Config, n: int, split: str) -> int:
    sizes = samples_per_question(config, split)
    own = sizes.num_initial if answers_from(config, n, split) == n else 0
    return own + sizes.num_initial * sizes.num_corrections * sizes.num_rounds


def last_rate(config: Config) -> Rate | None:
    """Return what the latest iteration took that sampled alike on this machine: with the same model, engine, device and
    sampling.max_tokens. None where there is none."""
    name = f"iter_*/stats/generation-{glob.escape(socket.gethostname())}-*.json"
    written = {path: path.stat().st_mtime for path in RUNS.glob(f"*/{name}")}
    for path in sorted(written, key=lambda each: written[each], reverse=True):
        folder = path.parent.parent
        try:
            if is_run_name(folder.parent.name) and alike(load(Run(folder.parent.name))) == alike(config):
                costs = list(map(read_object, folder.parent.glob(f"{folder.name}/{name.removeprefix('iter_*/')}")))
                if rate := rate_of(folder, costs):
                    return rate
        except PipelineError:  # of another run, which is no reason to stop this one
            continue
    return None


def alike(config: Config) -> tuple[Any, ...]:
    """Return what two runs have in common whose samples cost the same."""
    return config.model, config.engine.kind, config.engine.args, config.device, config.sampling.max_tokens


def rate_of(folder: Path, costs: list[dict[str, Any]]) -> Rate | None:
    """Return the rate of an iteration's workers together; None where they drew no sample."""
    samples, seconds = sum(c["requests"] for c in costs), sum(c["seconds"] for c in costs)
    if not samples or not seconds:
        return None
    tokens = sum(c["generated_tokens"] for c in costs)
    return Rate(f"{folder.parent.name}/{folder.name}", samples / seconds, tokens / samples)


def describe(samples: Mapping[int, int], max_tokens: int, rate: Rate | None, auto: bool = False) -> list[str]:
    """Return the lines. samples: that are yet to be drawn, by iteration; auto: further iterations may follow."""
    total, last = sum(samples.values()), max(samples)
    what = f"iterations 0 to {last}" if last else "iteration 0"
    then = ", then as many iterations as it takes" if auto else ""
    if not total:
        return [f"ahead: {what}: no sample is lacking{then}"]
    line = f"ahead: {what}{then}: {total:,} samples to draw, of at most {max_tokens:,} tokens each"
    if rate is None:
        return [line, "how long is not known: this machine has not yet sampled with this model, engine and max_tokens"]
    seconds, tokens = total / rate.samples_per_second, total * rate.tokens_per_sample
    measured = f"at the {rate.samples_per_second:,.1f} samples/s of {rate.name} on this machine"
    return [
        line,
        f"an estimate: about {tokens:,.0f} tokens and {seconds:,.0f} s of a worker, {measured}; training comes on top",
    ]


if __name__ == "__main__":
    stage_main(main)
