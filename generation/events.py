"""What a worker tells while it samples: events for its supervisor, a watchdog for a hung engine, and what it cost."""

import faulthandler
import json
import os
import resource
import socket
from pathlib import Path
from typing import Any

from generation.engines.interface import Completion
from store.publish import write_atomic


class Reporter:
    """Counts and tells what happens. descriptor: of a pipe to the supervisor, a JSON object per line; negative: none.
    hang_seconds: without a step for so long the process prints its stacks and ends; 0: never."""

    def __init__(self, descriptor: int = -1, hang_seconds: int = 0) -> None:
        self._pipe = os.fdopen(descriptor, "w", buffering=1) if descriptor >= 0 else None
        self._hang_seconds = hang_seconds
        self.counts = {"requests": 0, "prompt_tokens": 0, "cached_tokens": 0, "generated_tokens": 0}
        self.rearm_watchdog()

    def tell(self, event: str, **more: Any) -> None:
        """Write an event to the supervisor."""
        if self._pipe:
            print(json.dumps({"event": event} | more), file=self._pipe)

    def sampled(self, completion: Completion, num_prompt_tokens: int) -> None:
        """Count a sample that has come back."""
        self.counts["requests"] += 1
        self.counts["prompt_tokens"] += num_prompt_tokens
        self.counts["cached_tokens"] += completion.num_cached_tokens
        self.counts["generated_tokens"] += len(completion.token_ids)

    def stepped(self) -> None:
        """Tell the supervisor and the watchdog that the engine has made a step."""
        self.rearm_watchdog()
        self.tell("progress", **self.counts)

    def rearm_watchdog(self) -> None:
        """Start the time that the next step may take. The watchdog is a thread in C, so an engine that holds the
        interpreter's lock cannot stop it."""
        if self._hang_seconds:
            faulthandler.dump_traceback_later(self._hang_seconds, exit=True)

    def record_costs(self, folder: Path, engine_seconds: float, seconds: float) -> None:
        """Write what this worker took, as a file of its own in `folder`."""
        costs = self.counts | {
            "engine_starts": 1,
            "engine_start_seconds": round(engine_seconds, 3),
            "seconds": round(seconds, 3),
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
        name = f"generation-{socket.gethostname()}-{os.getpid()}.json"
        write_atomic(folder / name, json.dumps(costs, indent=1).encode())
