"""Samples as a model would give them, without one: questions and gold aliases of Natural Questions in short answers.

70 characters on average (a 135M model's have 85). One in five is right, one in three corrections is a copy.
"""

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa

from conf.schema import Config
from data.overlap import OVERLAP
from generation.prompts import correction_messages, initial_messages
from generation.tokenization import ChatTokenizer
from store.fingerprint import digest_bytes, stable_hash
from store.run import Run
from store.schemas import CORRECTIONS, INITIAL_ANSWERS, QUESTIONS, SPLITS
from store.shards import (
    Manifest,
    describe_shard,
    encode_shard,
    iter_shards,
    required_manifest,
    shard_name,
    verify_shard,
)

FORMS = (
    "{alias}",
    "{alias}.",
    "The answer to the question {question} is {alias}.",
    "I think that it was {alias}, as far as I know, but {question} is a hard question.",
    "That's a good question: {question}? Many people would say {alias}, and so would I.",
)


class Sampler:
    """Draws answers to a run's questions and lays them out as generation does."""

    def __init__(self, run: Run, config: Config, tokenizer: ChatTokenizer) -> None:
        self.config, self.tokenizer, self.random = config, tokenizer, random.Random(0)
        manifest = required_manifest(run.questions, "python -m data")
        tables = [table for split in SPLITS for _, table in iter_shards(run.questions, manifest, split, QUESTIONS)]
        self.questions: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist()
        self.aliases = [alias for question in self.questions for alias in question["answers"]]

    def text(self, question: dict[str, Any]) -> str:
        aliases = question["answers"] if self.random.random() < 0.2 else self.aliases
        return self.random.choice(FORMS).format(alias=self.random.choice(aliases), question=question["question"])

    def samples(self, questions: list[dict[str, Any]]) -> tuple[pa.Table, pa.Table]:
        """Return (initial answers, corrections) of the questions, N_init x N_corr of each."""
        initial, corrections, sampling = [], [], self.config.sampling
        for question in questions:
            messages = initial_messages(self.config.prompt, question["question"])
            for j in range(sampling.num_initial):
                answer, key = self.text(question), {"question_id": question["question_id"], "init_index": j}
                initial.append(self.row(key, messages, answer))
                again = correction_messages(self.config.prompt, question["question"], answer)
                for k in range(sampling.num_corrections):
                    text = answer if self.random.random() < 1 / 3 else self.text(question)
                    corrections.append(self.row(key | {"corr_index": k, "initial_answer": answer}, again, text))
        return (
            pa.Table.from_pylist(initial, schema=INITIAL_ANSWERS),
            pa.Table.from_pylist(corrections, schema=CORRECTIONS),
        )

    def row(self, key: dict[str, Any], messages: list[dict[str, str]], text: str) -> dict[str, Any]:
        token_ids = self.tokenizer.encode([*messages, {"role": "assistant", "content": text}])
        prompt_token_ids = self.tokenizer.encode(messages)
        stop = next(i for i, token in enumerate(token_ids) if i > len(prompt_token_ids) and token in self.stops)
        return key | {
            "prompt": messages,
            "prompt_token_ids": prompt_token_ids,
            "text": text,
            "token_ids": token_ids[len(prompt_token_ids) : stop + 1],
            "finish_reason": "stop",
            "seed": stable_hash(*key.values()),
            "cumulative_logprob": -self.random.expovariate(0.1),
        }

    @property
    def stops(self) -> tuple[int, ...]:
        return self.tokenizer.stop_token_ids


def write_iteration(run: Run, parts: list[tuple[list[dict[str, Any]], pa.Table, pa.Table]]) -> None:
    """Write an iteration as generation leaves it, train alone: a shard for each (questions, answers, corrections)."""
    folder, overlap = run.iteration(0), json.dumps({"flags": {}}).encode()
    questions = [pa.Table.from_pylist(part[0], schema=QUESTIONS) for part in parts]
    write_stage(run.questions, "questions", questions, {"reports": {OVERLAP: digest_bytes(overlap)}})
    (run.questions / OVERLAP).write_bytes(overlap)
    answers = write_stage(folder.initial_answers, "initial_answers", [part[1] for part in parts], {})
    corrections = [part[2] for part in parts]
    write_stage(folder.corrections, "corrections", corrections, {"initial_answers": answers.digest})


def write_stage(folder: Path, stage: str, tables: list[pa.Table], extra: dict[str, Any]) -> Manifest:
    """Return a stage's folder and manifest, without the fsync of a real one."""
    folder.mkdir(parents=True)
    shards = {}
    for index, table in enumerate(tables):
        name = shard_name("train", index, len(tables))
        content = encode_shard(table, table.schema, {"stage": stage, "fingerprint": "bench"})
        (folder / name).write_bytes(content)
        shards[name] = describe_shard(content, verify_shard(content, folder / name))
    rows = sum(table.num_rows for table in tables)
    manifest = Manifest(stage, 0, {}, {}, rows, rows, 0, shards, extra=extra)
    manifest.write(folder)
    return manifest
