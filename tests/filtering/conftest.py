"""A run on disk with hand-made samples, as generation leaves it."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import settings

from data.overlap import OVERLAP
from store.fingerprint import digest_bytes
from store.publish import write_atomic
from store.run import Run
from store.schemas import CORRECTIONS, INITIAL_ANSWERS, QUESTIONS
from store.shards import Manifest, read_shard, shard_name, write_shard

# The same examples everywhere, and no time limit: a busy machine is no failure.
settings.register_profile("reproducible", deadline=None, derandomize=True, database=None)
settings.load_profile("reproducible")

STOP = 2
# per question: id, question, gold aliases, and an initial answer with its corrections for each j
Sampled = tuple[str, str, list[str], list[tuple[str, list[str]]]]


def sample(key: dict[str, Any], question: str, text: str) -> dict[str, Any]:
    """A row as generation writes it: one id per character, then the stop token; `...` ends what was cut off."""
    token_ids = [100 + ord(character) for character in text]
    cut_off = text.endswith("...")
    return key | {
        "prompt": [{"role": "user", "content": question}],
        "prompt_token_ids": [1, *(100 + ord(character) for character in question)],
        "text": text,
        "token_ids": token_ids if cut_off else [*token_ids, STOP],
        "finish_reason": "length" if cut_off else "stop",
        "seed": 7,
        "cumulative_logprob": -1.0,
    }


def samples_of(questions: list[Sampled]) -> tuple[pa.Table, pa.Table]:
    """The initial answers and the corrections of some questions."""
    initial, corrections = [], []
    for question_id, question, _, answers in questions:
        for j, (answer, texts) in enumerate(answers):
            key = {"question_id": question_id, "init_index": j}
            initial.append(sample(key, question, answer))
            for k, text in enumerate(texts):
                row = sample(key | {"corr_index": k, "initial_answer": answer}, f"{question} {answer}", text)
                corrections.append(row)
    return (
        pa.Table.from_pylist(initial, schema=INITIAL_ANSWERS),
        pa.Table.from_pylist(corrections, schema=CORRECTIONS),
    )


def write_stage(
    folder: Path, stage: str, tables: dict[str, list[pa.Table]], schema: pa.Schema, extra: dict[str, Any]
) -> Manifest:
    """A finished stage folder with these shards per split."""
    shards = {}
    for split, parts in tables.items():
        for index, table in enumerate(parts):
            path = folder / shard_name(split, index, len(parts))
            write_shard(path, table, schema, {"stage": stage, "fingerprint": "test"})
            header = read_shard(path)[1]
            shards[path.name] = {"rows": table.num_rows, "bytes": path.stat().st_size, "sha256": header["sha256"]}
    rows = Counter(table.num_rows for parts in tables.values() for table in parts)
    written = sum(size * times for size, times in rows.items())
    manifest = Manifest(stage, 0, {}, {}, written, written, 0, shards, extra=extra)
    manifest.write(folder)
    return manifest


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Run]:
    """make_run({split: questions}, shard_size=..., overlap=...) -> a Run whose iter_00 has been generated. overlap: the
    flags of _overlap.json, {"train/test": {question_id: {kind: question_id}}}."""

    def make(
        splits: dict[str, list[Sampled]], shard_size: int = 2, name: str = "demo", overlap: dict[str, Any] | None = None
    ) -> Run:
        run = Run(name, tmp_path / "runs")
        rows = {
            split: [
                {"question_id": q[0], "question": q[1], "answers": q[2], "split": split, "source": "test"} for q in some
            ]
            for split, some in splits.items()
        }
        tables = {split: [pa.Table.from_pylist(some, schema=QUESTIONS)] for split, some in rows.items()}
        report = json.dumps({"flags": overlap or {}}).encode()
        write_atomic(run.questions / OVERLAP, report)
        write_stage(run.questions, "questions", tables, QUESTIONS, {"reports": {OVERLAP: digest_bytes(report)}})
        parts = {
            split: [samples_of(some[start : start + shard_size]) for start in range(0, len(some), shard_size)]
            for split, some in splits.items()
        }
        folder = run.iteration(0)
        initial = {split: [initial for initial, _ in some] for split, some in parts.items()}
        manifest = write_stage(folder.initial_answers, "initial_answers", initial, INITIAL_ANSWERS, {})
        corrections = {split: [table for _, table in some] for split, some in parts.items()}
        extra = {"initial_answers": manifest.digest}
        write_stage(folder.corrections, "corrections", corrections, CORRECTIONS, extra)
        return run

    return make
