"""An engine with changed settings in a process of its own, which samples when it is told to.

    python -m benchmarks.changed_engine run=NAME changes='{"throughput": {"block_size": 64}}' answers=DESCRIPTOR

changes: of the configuration's engine args, engine throughput and sampling. For each JSON line on standard input,
{requests, grouped}, that many of the run's requests are drawn, and a JSON line with seconds (of the core's time), wall
(seconds on the clock) and tokens is written to the descriptor.
"""

import json
import os
import sys
import time
from itertools import groupby
from typing import Any

from benchmarks.measure import clock
from benchmarks.texts import Sampler
from conf.stored import load
from generation.engines import open_engine
from generation.engines.interface import Request
from generation.engines.vllm import VllmEngine
from generation.tokenization import ChatTokenizer
from store.checkpoints import locate
from store.run import Run


def main(arguments: list[str]) -> None:
    values = dict(argument.split("=", 1) for argument in arguments)
    run = Run(values["run"])
    config, (folder, _) = load(run), locate(run, 0)
    tokenizer = ChatTokenizer(folder)
    requests = draft(Sampler(run, config, tokenizer))
    changes = json.loads(values["changes"])
    engine_settings = {name: getattr(config.engine, name) | changes.get(name, {}) for name in ("args", "throughput")}
    config = config.model_copy(update={
        "engine": config.engine.model_copy(update=engine_settings),
        "sampling": config.sampling.model_copy(update=changes.get("sampling", {})),
    })  # fmt: skip
    engine = open_engine(config.engine, config.sampling, config.device, folder, tokenizer.stop_token_ids)
    answers = os.fdopen(int(values["answers"]), "w", buffering=1)
    for line in sys.stdin:
        order = json.loads(line)
        assert engine._engine.reset_prefix_cache()
        some = requests[: order["requests"]]
        started, wall = clock("cpu"), time.monotonic()
        tokens = sample_grouped(engine, some) if order["grouped"] else sample(engine, some)
        spent = {"seconds": clock("cpu") - started, "wall": time.monotonic() - wall, "tokens": tokens}
        print(json.dumps(spent), file=answers)
    engine._engine.engine_core.shutdown()  # in multi-process mode a process of its own
    os._exit(0)


def draft(sampler: Sampler) -> list[Request]:
    """Return the requests of a run's questions: initial answers, then corrections of each, to texts that no engine
    drew."""
    requests: list[Request] = []
    for question in sampler.questions:
        for table in sampler.samples([question]):
            for row in table.to_pylist():
                requests.append(Request((str(len(requests)),), row["prompt_token_ids"], row["seed"]))
    return requests


def sample(engine: VllmEngine, requests: list[Request]) -> int:
    """Tokens drawn, one request per sample."""
    for request in requests:
        engine.submit(request)
    tokens = 0
    while engine.num_in_flight:
        tokens += sum(len(completion.token_ids) for completion in engine.step())
    return tokens


def sample_grouped(engine: VllmEngine, requests: list[Request]) -> int:
    """Tokens drawn, one request of n samples for all that share a prompt, with the seed of the first."""
    from vllm.sampling_params import RequestOutputKind

    core, tokens = engine._engine, 0
    for number, (prompt, group) in enumerate(groupby(requests, key=lambda request: request.prompt_token_ids)):
        alike = list(group)
        sampling: dict[str, Any] = engine._sampling | {"n": len(alike), "output_kind": RequestOutputKind.FINAL_ONLY}
        core.add_request(str(number), {"prompt_token_ids": prompt}, engine._params(seed=alike[0].seed, **sampling))
    while core.has_unfinished_requests():
        outputs = [output for output in core.step() if output.finished]
        tokens += sum(len(sample.token_ids) for output in outputs for sample in output.outputs)
    return tokens


if __name__ == "__main__":
    main(sys.argv[1:])
