"""An iteration's generation as published code runs it: per phase a new eager engine and prompts as text, row by row.

    python -m benchmarks.per_phase run=NAME phase=initial      then phase=correction

Writes runs/NAME/<phase>.json: rows (question, split, initial_answer, texts), the seconds of sampling and the tokens. It
is kinder than the original: one phase takes all splits, and the threads are bound as in the generation stage.
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.measure import clock
from conf.schema import Config
from conf.stored import load
from generation.engines.vllm import set_environment
from generation.prompts import correction_messages, initial_messages
from store.checkpoints import locate
from store.run import Run
from store.schemas import QUESTIONS, SPLITS
from store.shards import iter_shards, required_manifest


def main(arguments: list[str]) -> None:
    values = dict(argument.split("=") for argument in arguments)
    run = Run(values["run"])
    config = load(run)
    prompts, rows, counts = initial(run, config) if values["phase"] == "initial" else correction(run, config)
    llm, params = engine(counts, config, locate(run, 0)[0])
    stood = clock(config.device)
    outputs = llm.chat(prompts, params, use_tqdm=False)
    sampled = clock(config.device) - stood
    for row, output in zip(rows, outputs, strict=True):
        row["texts"] = [sample.text for sample in output.outputs]
    tokens = sum(len(sample.token_ids) for output in outputs for sample in output.outputs)
    result = {"rows": rows, "sampling_seconds": sampled, "tokens": tokens}
    (run.dir / f"{values['phase']}.json").write_text(json.dumps(result), encoding="utf-8")
    llm.llm_engine.engine_core.shutdown()  # on a GPU a process of its own


def initial(run: Run, config: Config) -> tuple[list, list[dict], list[int]]:
    """(prompts, rows, samples of each) for the questions of all splits."""
    manifest, rows = required_manifest(run.questions, "python -m data"), []
    for split in SPLITS:
        for _, table in iter_shards(run.questions, manifest, split, QUESTIONS):
            rows += [{"question": text, "split": split} for text in table["question"].to_pylist()]
    prompts = [initial_messages(config.prompt, row["question"]) for row in rows]
    counts = [config.sampling.num_initial if row["split"] == "train" else config.eval.num_samples for row in rows]
    return prompts, rows, counts


def correction(run: Run, config: Config) -> tuple[list, list[dict], list[int]]:
    answered = json.loads((run.dir / "initial.json").read_text(encoding="utf-8"))["rows"]
    rows = [row | {"initial_answer": text} for row in answered for text in row["texts"]]
    prompts = [correction_messages(config.prompt, row["question"], row["initial_answer"]) for row in rows]
    counts = [config.sampling.num_corrections if row["split"] == "train" else 1 for row in rows]
    return prompts, rows, counts


def engine(counts: list[int], config: Config, model: Path) -> tuple[Any, list[Any]]:
    """Return an eager engine without prefix cache, and the sampling parameters of each prompt."""
    set_environment(config.device, config.engine.throughput.get("kv_cache_gib"))
    from vllm import LLM, SamplingParams

    llm = LLM(
        str(model), dtype=config.engine.args["dtype"], max_model_len=config.engine.args["max_model_len"],
        enforce_eager=True, enable_prefix_caching=False,
    )  # fmt: skip
    sampling = config.sampling
    shared = {"temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": sampling.max_tokens}
    return llm, [SamplingParams(n=n, **shared, **sampling.args) for n in counts]


if __name__ == "__main__":
    main(sys.argv[1:])
