"""An engine that draws many short samples in a process of its own, and says how much memory it holds on the way.

    python -m benchmarks.many_samples model=FOLDER samples=50000 every=10000 answers=DESCRIPTOR [longest=250]

With the CPU preset, two tokens an answer, and prompts of a quarter of `longest` tokens to `longest`, no two batches
alike: 62 to 250 unless given, as initial answers and corrections have them. Writes a JSON line {samples, held, peak,
seconds} after every so many samples: bytes of the process now and at its peak, seconds since the first request.
"""

import json
import os
import random
import sys
import time
from itertools import islice
from pathlib import Path

import yaml

from benchmarks.place import ROOT, memory
from generation.engines.interface import Request, SamplingSettings
from generation.engines.vllm import VllmEngine
from store.machine import engine_memory

TOKENS, LONGEST = 2, 250
SAMPLES_OF_A_PROMPT = 5


def main(arguments: list[str]) -> None:
    if environment := engine_memory():  # which a process reads as it starts; its supervisor gives it to a worker
        os.execve(sys.executable, sys.orig_argv, os.environ | environment)
    values = dict(argument.split("=", 1) for argument in arguments)
    samples, every, longest = int(values["samples"]), int(values["every"]), int(values.get("longest", LONGEST))
    preset = yaml.safe_load((ROOT / "conf" / "engine" / "vllm_cpu.yaml").read_text(encoding="utf-8"))
    settings = SamplingSettings(0.7, 1.0, TOKENS, (2,), {})
    engine = VllmEngine(Path(values["model"]), settings, preset["args"], preset["throughput"], "cpu")
    words, requests = random.Random(0), iter(range(samples))
    prompt: list[int] = []
    started, done = time.monotonic(), 0
    with os.fdopen(int(values["answers"]), "w", buffering=1) as answers:
        while done < samples:
            for number in islice(requests, max(0, 2 * engine.max_num_seqs - engine.num_in_flight)):
                if number % SAMPLES_OF_A_PROMPT == 0:
                    prompt = [words.randrange(100, 40_000) for _ in range(words.randint(longest // 4, longest))]
                engine.submit(Request((str(number),), prompt, seed=number))
            before, done = done, done + len(engine.step())
            if before // every != done // every:
                peak, held = memory(os.getpid())
                told = {"samples": done, "held": held, "peak": peak, "seconds": time.monotonic() - started}
                print(json.dumps(told), file=answers)
    engine._engine.engine_core.shutdown()  # in multi-process mode a process of its own
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
