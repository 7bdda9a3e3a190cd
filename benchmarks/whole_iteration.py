"""A whole iteration's generation, engine starts included: the stage, and an engine for each phase."""

import contextlib
import json
import shutil
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any
from unittest import mock

import generation.__main__
from benchmarks.measure import Row, alternate, clock, ratios
from benchmarks.parquet import bytes_per_trajectory
from benchmarks.place import Place
from generation.progress import Progress
from store.run import Run

REPEATS = 2
DEFAULT_SAMPLES, PAPERS_SAMPLES = 3_000, 16_000  # of `make iterate` on CPU; of 500 + 500 questions at 5 x 5


@dataclass
class Stage:
    """The stage as a command, and what it said of itself each time it ran. first_token: seconds on the wall clock."""

    place: Place
    run: Run
    first_token: list[float] = field(default_factory=list)
    costs: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self) -> float:
        """Seconds from command to manifests."""
        shutil.rmtree(self.run.iteration(0).dir, ignore_errors=True)
        began, started, first_token = clock(self.place.size.device), time.monotonic(), self.first_token

        class FirstToken(Progress):
            def take(self, rank: int, event: dict[str, Any]) -> None:
                if event["event"] == "progress" and not self._counts:
                    first_token.append(time.monotonic() - started)
                super().take(rank, event)

        with contextlib.chdir(self.place.folder), mock.patch.object(generation.__main__, "Progress", FirstToken):
            generation.__main__.main([f"run={self.run.name}", "iteration=0"])
        (path,) = self.run.iteration(0).stats.glob("generation-*.json")
        self.costs.append(json.loads(path.read_text(encoding="utf-8")))
        return clock(self.place.size.device) - began

    def values(self, name: str) -> list[float]:
        return [costs[name] for costs in self.costs]


@dataclass(frozen=True)
class Iterations:
    """What a run's iterations took, in seconds, the stage and the eager engines in turn. starts: of these, those of the
    two eager engines, and their ends; rates: tokens/s that they sampled between."""

    stage: Stage
    took: dict[str, list[float]]
    starts: list[float]
    rates: list[float]

    @property
    def samples(self) -> int:
        return self.stage.costs[0]["requests"]

    def rows(self, sampling: str) -> list[Row]:
        return [
            Row(f"iteration of {self.samples:,} samples, {sampling}: the stage", self.took["stage"], "s"),
            Row("the same, an eager engine for each phase", self.took["per_phase"], "s"),
            Row("of these, starts and ends of its two engines", self.starts, "s"),
            Row("tokens sampled by these eager engines", self.rates, "tokens/s"),
            Row("an engine for each phase / the stage", ratios(self.took["per_phase"], self.took["stage"]), "x"),
        ]

    def at_size(self, samples: int, tokens_per_sample: float, rates: list[float]) -> tuple[float, float]:
        """Seconds that so many samples would take (the stage, the eager engines), by the stage's sampling rates."""
        small, large = self.samples * tokens_per_sample, samples * tokens_per_sample
        ours = median(self.took["stage"]) + (large - small) / median(rates)
        return ours, median(self.starts) + large / median(self.rates)


def iterate(place: Place, run: Run) -> Iterations:
    """Both ways in turn; the eager engines' own sampling rate tells what a larger iteration takes them."""
    stage, rates, starts = Stage(place, run), [], []

    def per_phase() -> float:
        spent, sampled = 0.0, []
        for phase in ("initial", "correction"):
            spent += place.seconds(place.stage("benchmarks.per_phase", f"run={run.name}", f"phase={phase}"))
            sampled.append(json.loads((run.dir / f"{phase}.json").read_text(encoding="utf-8")))
        seconds = sum(phase["sampling_seconds"] for phase in sampled)
        rates.append(sum(phase["tokens"] for phase in sampled) / seconds)
        starts.append(spent - seconds)
        return spent

    return Iterations(stage, alternate(REPEATS, stage=stage, per_phase=per_phase), starts, rates)


def stage_rows(place: Place, stage: Stage) -> list[Row]:
    """Return what the stage said of itself, and what one of its iterations weighs."""
    place.stage("filtering", f"run={stage.run.name}", "iteration=0")
    return [
        Row("engine starts per iteration", stage.values("engine_starts"), "", at_most=1),
        Row("command to first token, wall clock", stage.first_token, "s"),
        Row("of these, the engine's start", stage.values("engine_start_seconds"), "s"),
        Row("peak memory of the generation worker", [peak / 1e9 for peak in stage.values("peak_memory_bytes")], "GB"),
        Row("bytes per trajectory, the model's own text", [bytes_per_trajectory(stage.run)], "bytes"),
    ]
