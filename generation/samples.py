"""Requests for a shard's samples, and the tables their completions become. Rows out = rows in x n, always."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from conf.schema import Prompt
from generation.engines.interface import Completion, Key, Request
from generation.engines.length import fitted
from generation.plan import Shard
from generation.prompts import correction_messages, initial_messages
from generation.settings import Settings
from store.errors import BadInput
from store.fingerprint import stable_hash

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class PendingSample:
    """Everything a sample's row holds but its completion. row: the key columns, and initial_answer for a correction."""

    row: dict[str, Any]
    prompt: Messages
    request: Request


@dataclass(frozen=True)
class Drafts:
    """A shard's samples for a turn, and the prompts that cannot be sent, with the number of rows each would have."""

    samples: list[PendingSample]
    quarantined: list[dict[str, Any]]


class PromptRejected(ValueError):
    """(code, detail): a prompt that is quarantined before it reaches the engine."""


@dataclass(frozen=True)
class RequestBuilder:
    """What turns a question into requests. seed: the run's; encode: messages -> token ids; max_prompt_tokens leaves
    room to answer; greedy_eval: held-out questions are answered without sampling."""

    prompt: Prompt
    seed: int
    iteration: int
    encode: Callable[[Messages], list[int]]
    max_prompt_tokens: int
    greedy_eval: bool = False

    @classmethod
    def of(
        cls, settings: Settings, iteration: int, encode: Callable[[Messages], list[int]], model: Path
    ) -> "RequestBuilder":
        """Take what requests depend on from a worker's settings and its model's folder."""
        room = fitted(settings.engine.args, model)["max_model_len"] - settings.sampling.max_tokens
        return cls(settings.prompt, settings.seed, iteration, encode, room, settings.greedy_eval)

    def tokenize(self, prompt: Messages) -> list[int]:
        """Return a prompt's ids; PromptRejected where it has none that can be sent (one such request could abort a
        whole batch)."""
        try:
            token_ids = self.encode(prompt)
        except BadInput as error:
            raise PromptRejected("PROMPT_REFUSED", str(error)) from error
        if len(token_ids) > self.max_prompt_tokens:
            detail = f"{len(token_ids)} tokens, at most {self.max_prompt_tokens} leave room for max_tokens"
            raise PromptRejected("PROMPT_TOO_LONG", detail)
        return token_ids

    def request(self, shard: Shard, stage: str, question: dict[str, Any], ids: list[int], *indices: int) -> Request:
        """Return the request for one sample; its seed comes from what it is, never from when or where it is sampled."""
        seed = stable_hash(self.seed, question["source"], question["question_id"], stage, self.iteration, *indices)
        key = (shard.file, question["question_id"], *map(str, indices))
        return Request(key, ids, seed, self.greedy_eval and shard.split != "train")


def draft_initial_answers(builder: RequestBuilder, shard: Shard, questions: list[dict[str, Any]]) -> Drafts:
    """Draft N_init samples y1_ij ~ M(x_i) for each question; the prompt is rendered and tokenized once per question."""
    rows, quarantined = [], []
    for question in questions:
        prompt = initial_messages(builder.prompt, question)
        try:
            token_ids = builder.tokenize(prompt)
        except PromptRejected as error:
            quarantined.append(_quarantined(error, shard.num_initial, question_id=question["question_id"]))
            continue
        for j in range(shard.num_initial):
            request = builder.request(shard, "initial_answer", question, token_ids, j)
            rows.append(PendingSample({"question_id": question["question_id"], "init_index": j}, prompt, request))
    return Drafts(rows, quarantined)


def draft_corrections(
    builder: RequestBuilder, shard: Shard, questions: list[dict[str, Any]], corrected: pa.Table, turn: int = 1
) -> Drafts:
    """Draft N_corr samples y2_ijk ~ M_{n-1}(x_i, y1_ij) for each initial answer, in its order, so that those with one
    prompt run together; in turn r > 1 one sample for each correction of turn r - 1. Gold answers are not in it."""
    by_id = {question["question_id"]: question for question in questions}
    stage = "correction" if turn == 1 else f"correction_{turn:02d}"
    given = ["question_id", "init_index"] if turn == 1 else ["question_id", "init_index", "corr_index"]
    answers, by_question = corrected.select([*given, "text"]).to_pylist(), dict[str, dict[int, str]]()
    for answer in answers:
        by_question.setdefault(answer["question_id"], {})[answer["init_index"]] = answer["text"]
    rows, quarantined = [], []
    for answer in answers:
        question, text = by_id[answer["question_id"]], answer.pop("text")
        samples = [answer | {"corr_index": k} for k in range(shard.num_corrections)] if turn == 1 else [answer]
        read = [text]
        if (number := builder.prompt.num_answers) > 1:
            read = answers_read(by_question[answer["question_id"]], answer["init_index"], number)
        prompt = correction_messages(builder.prompt, question, *read)
        try:
            token_ids = builder.tokenize(prompt)
        except PromptRejected as error:
            quarantined.append(_quarantined(error, len(samples), **answer))
            continue
        for key in samples:
            request = builder.request(shard, stage, question, token_ids, key["init_index"], key["corr_index"])
            rows.append(PendingSample(key | {"initial_answer": text}, prompt, request))
    return Drafts(rows, quarantined)


def answers_read(answers: dict[int, str], j: int, number: int) -> list[str]:
    """Return the texts that a correction of y1_ij reads, its own among them: of the question's first `number` initial
    answers all, or all but the last and y1_ij. How many more there are does not matter. answers: {j: text}."""
    first = sorted(answers)[:number]
    return [answers[index] for index in sorted({*first} if j in first else {*first[:-1], j})]


def to_table(
    samples: list[PendingSample],
    completions: Mapping[Key, Completion],
    schema: pa.Schema,
    decode: Callable[[list[int]], str],
) -> pa.Table:
    """Return the samples' rows with their completions, in the samples' order, whatever order these came in."""
    assert len(samples) == len(completions), f"{len(samples)} asked, {len(completions)} answered"
    rows = []
    for sample in samples:
        completion = completions[sample.request.key]
        rows.append(sample.row | {
            "prompt": sample.prompt,
            "prompt_token_ids": sample.request.prompt_token_ids,
            "text": decode(completion.token_ids),
            "token_ids": completion.token_ids,
            "finish_reason": completion.finish_reason,
            "seed": sample.request.seed,
            "cumulative_logprob": completion.cumulative_logprob,
        })  # fmt: skip
    return pa.Table.from_pylist(rows, schema=schema)


def _quarantined(error: PromptRejected, rows: int, **key: Any) -> dict[str, Any]:
    code, detail = error.args
    return key | {"code": code, "detail": detail, "rows": rows}
