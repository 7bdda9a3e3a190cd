"""What a long generation shows: samples done, tokens/s, time left."""

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from generation.plan import Plan, Shard

EVERY_SECONDS = {True: 1.0, False: 15.0}  # on a terminal, in a log
WINDOW_SECONDS, WARM_SECONDS = 60.0, 5.0  # what rates are of; how long no estimate is given


def num_samples(plan: Plan, is_done: Callable[[Shard], bool] = lambda shard: False) -> int:
    """Count the samples of a plan's shards, initial answers and corrections, without those of shards that are done."""
    missing = [shard for shard in plan.shards if not is_done(shard)]
    own = sum((s.stop - s.start) * s.num_initial for s in missing if s.split not in plan.reused)
    return own + sum((s.stop - s.start) * s.num_initial * s.num_corrections * s.num_rounds for s in missing)


class Progress:
    """Adds up the workers' events and prints a line now and then."""

    def __init__(self, label: str, planned: int) -> None:
        self.label, self.planned = label, planned
        self._started = self._shown = time.monotonic()
        self._first_token = 0.0
        self._counts: dict[int, dict[str, int]] = {}
        self._before: dict[str, int] = {"requests": 0, "generated_tokens": 0}
        self._recent: deque[tuple[float, int, int]] = deque()  # time, samples and tokens of the last minute
        self._terminal = sys.stderr.isatty()

    def take(self, rank: int, event: dict[str, Any]) -> None:
        if event["event"] == "engine":
            self._first_token = self._first_token or time.monotonic()
            earlier = self._counts.pop(rank, {})  # a restarted worker counts from zero
            for name in self._before:
                self._before[name] += earlier.get(name, 0)
            print(
                f"{self.label}: engine of worker {rank} ready after {event['seconds']} s", file=sys.stderr, flush=True
            )
        if event["event"] == "progress":
            self._counts[rank] = event

    def total(self, name: str) -> int:
        return self._before[name] + sum(counts[name] for counts in self._counts.values())

    def show(self, last: bool = False) -> None:
        now = time.monotonic()
        if not self._counts or (now - self._shown < EVERY_SECONDS[self._terminal] and not last):
            return
        self._shown = now
        done, tokens = self.total("requests"), self.total("generated_tokens")
        how_fast = (
            f"{tokens / max(now - self._first_token, 1e-9):,.0f} tokens/s, done"
            if last
            else self.rate(now, done, tokens)
        )
        end = "\n" if last or not self._terminal else "\r"
        print(
            f"{self.label}: {done:,} of {self.planned:,} samples, {how_fast}   ", end=end, file=sys.stderr, flush=True
        )

    def rate(self, now: float, done: int, tokens: int) -> str:
        """Return the tokens per second of the last minute and the seconds left at that rate."""
        if not self._recent:
            self._recent.append((self._first_token or self._started, 0, 0))
        self._recent.append((now, done, tokens))
        while now - self._recent[1][0] >= WINDOW_SECONDS:
            self._recent.popleft()
        since, done_before, tokens_before = self._recent[0]
        if now - since < WARM_SECONDS or not done:
            return "warming up"
        if done <= done_before:  # as while the engine reads long prompts
            return "none finished in the last minute"
        left = (self.planned - done) * (now - since) / (done - done_before)
        return f"{(tokens - tokens_before) / (now - since):,.0f} tokens/s, about {left:,.0f} s left"

    def show_shards(self, done: int, total: int) -> None:
        """Return what is known of workers on other machines: the shards they have published."""
        now = time.monotonic()
        if done < total and now - self._shown < EVERY_SECONDS[self._terminal]:
            return
        self._shown = now
        end = "\r" if self._terminal and done < total else "\n"
        print(f"{self.label}: {done:,} of {total:,} shards", end=end, file=sys.stderr, flush=True)
