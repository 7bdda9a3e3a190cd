"""Samples of SmolLM2 by vLLM on CPU, in a process of its own: an engine changes torch for the process that it is in.

    python -m tests.generation.sample_with_vllm MODEL_FOLDER RESULT.json

In float32, where no two logits are equal by rounding. Writes {way of sampling: token ids of each question}.
"""

import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from generation.engines.interface import Request, SamplingSettings
from generation.engines.vllm import VllmEngine
from generation.tokenization import ChatTokenizer

QUESTIONS = [f"Name {number} {things}." for number in ("one", "two", "ten") for things in ("rivers", "kings", "novels")]
GREEDY = (1, 4, 5)
THROUGHPUT = {
    "max_num_seqs": 4, "max_num_batched_tokens": 2048, "block_size": 32, "enable_chunked_prefill": False,
    "enforce_eager": True, "kv_cache_gib": 1,
}  # fmt: skip


def main(model: str, result: str) -> None:
    tokenizer = ChatTokenizer(Path(model))
    prompts = [tokenizer.encode([{"role": "user", "content": question}]) for question in QUESTIONS]
    settings = SamplingSettings(0.8, 0.9, 16, tokenizer.stop_token_ids, {})
    engine = VllmEngine(Path(model), settings, {"dtype": "float32", "max_model_len": 256}, THROUGHPUT, "cpu")
    own = dict(engine._sampling)
    assert own["extra_args"] == {"top_p": 0.9}

    def sample(greedy: Collection[int] = (), **sampling: Any) -> list[list[int]]:
        engine._sampling = own | sampling
        for index, prompt in enumerate(prompts):
            engine.submit(Request((str(index),), prompt, seed=index + 7, greedy=index in greedy))
        found = {}
        while engine.num_in_flight:
            found |= {int(completion.key[0]): completion.token_ids for completion in engine.step()}
        return [found[index] for index in range(len(prompts))]

    samples = {
        "our top-p": sample(),
        "vLLM's top-p": sample(top_p=0.9, extra_args=None),
        "no top-p": sample(extra_args=None),
        "greedy": sample(greedy=range(len(prompts))),
        "some greedy": sample(greedy=GREEDY),
    }
    Path(result).write_text(json.dumps(samples), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
