"""What vLLM builds for requests that it answers without a model, in a process of its own: vLLM changes the environment.

    python -m tests.benchmarks.count_outputs MODEL_FOLDER '{}' '{"logprobs": 0}'  # SamplingParams, by their own names

Prints for each of them {requests, built: how many objects of which kind, samples: [tokens, cached tokens,
log-probability or null] of each}.
"""

import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.frontend import MODEL, THROUGHPUT, without_a_core
from generation.engines.interface import Request, SamplingSettings
from generation.engines.vllm import VllmEngine

REQUESTS, TOKENS = 20, 16


def main(model: str, *each: str) -> None:
    print(json.dumps([counted(Path(model), json.loads(args)) for args in each]))


def counted(model: Path, args: dict[str, Any]) -> dict[str, Any]:
    built: Counter[str] = Counter()
    with without_a_core():
        settings = SamplingSettings(0.7, 1.0, TOKENS, (2,), args)
        engine = VllmEngine(model, settings, MODEL, THROUGHPUT, "cpu")
    import vllm.v1.engine.output_processor as vllm

    def counting(kind: type) -> mock._patch:
        def count(*arguments, **keywords):
            built[kind.__name__] += 1
            return kind(*arguments, **keywords)

        return mock.patch.object(vllm, kind.__name__, count)

    completions = []
    with counting(vllm.CompletionOutput), counting(vllm.RequestOutput):
        for number in range(REQUESTS):
            engine.submit(Request((str(number),), list(range(3, 133)), seed=number))
        while engine.num_in_flight:
            completions += engine.step()
    logprobs = [None if math.isnan(c.cumulative_logprob) else c.cumulative_logprob for c in completions]
    samples = [[len(c.token_ids), c.num_cached_tokens, p] for c, p in zip(completions, logprobs, strict=True)]
    return {"requests": REQUESTS, "built": built, "samples": samples}


if __name__ == "__main__":
    main(*sys.argv[1:])
