"""Requests for a shard's samples, and the tables their completions become. Rows out = rows in x n, always."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from conf.schema import Config
from data.fingerprint import sample_seed
from data.schemas import CORRECTIONS, INITIAL_ANSWERS
from generation.engine import Completion, Key, Request
from generation.plan import Shard
from generation.prompts import correction_messages, initial_messages

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Draft:
    """A sample before it is drawn: everything its row holds but the completion."""

    row: dict[str, Any]  # key columns, and initial_answer for a correction
    prompt: Messages
    request: Request


@dataclass(frozen=True)
class Drafts:
    """A shard's samples to draw, and the prompts that cannot be sent (with the number of rows each would have had)."""

    rows: list[Draft]
    quarantined: list[dict[str, Any]]


@dataclass(frozen=True)
class Prompting:
    """What turns a question into requests. encode: messages -> token ids; max_prompt_tokens leaves room to answer."""

    config: Config
    iteration: int
    encode: Callable[[Messages], list[int]]
    max_prompt_tokens: int

    def too_long(self, prompt_token_ids: list[int]) -> str | None:
        if len(prompt_token_ids) <= self.max_prompt_tokens:
            return None
        return f"{len(prompt_token_ids)} tokens, at most {self.max_prompt_tokens} leave room for max_tokens"


def draft_initial_answers(prompting: Prompting, shard: Shard, questions: list[dict[str, Any]]) -> Drafts:
    """N_init samples y1_ij ~ M(x_i) for each question; the prompt is made and tokenised once per question."""
    rows, quarantined = [], []
    for question in questions:
        prompt = initial_messages(prompting.config.prompt, question["question"])
        token_ids = prompting.encode(prompt)
        if detail := prompting.too_long(token_ids):
            quarantined.append(_set_aside(question["question_id"], detail, shard.num_initial))
            continue
        for j in range(shard.num_initial):
            request = _request(prompting, shard, "initial_answer", question, token_ids, j)
            rows.append(Draft({"question_id": question["question_id"], "init_index": j}, prompt, request))
    return Drafts(rows, quarantined)


def draft_corrections(
    prompting: Prompting, shard: Shard, questions: list[dict[str, Any]], initial_answers: pa.Table
) -> Drafts:
    """N_corr samples y2_ijk ~ M_{n-1}(x_i, y1_ij) for each initial answer, in its order, so that those with one
    prompt run together. Gold answers are nowhere in it."""
    by_id = {question["question_id"]: question for question in questions}
    rows, quarantined = [], []
    for answer in initial_answers.select(["question_id", "init_index", "text"]).to_pylist():
        question, j = by_id[answer["question_id"]], answer["init_index"]
        prompt = correction_messages(prompting.config.prompt, question["question"], answer["text"])
        token_ids = prompting.encode(prompt)
        if detail := prompting.too_long(token_ids):
            entry = _set_aside(answer["question_id"], detail, shard.num_corrections)
            quarantined.append(entry | {"init_index": j})
            continue
        for k in range(shard.num_corrections):
            request = _request(prompting, shard, "correction", question, token_ids, j, k)
            key = {"question_id": answer["question_id"], "init_index": j, "corr_index": k}
            rows.append(Draft(key | {"initial_answer": answer["text"]}, prompt, request))
    return Drafts(rows, quarantined)


def to_table(
    drafts: Drafts, completions: Mapping[Key, Completion], schema: pa.Schema, decode: Callable[[list[int]], str]
) -> pa.Table:
    """The drafts' rows with their completions, in the drafts' order (sorted by the key, whatever order they came)."""
    assert len(drafts.rows) == len(completions), f"{len(drafts.rows)} asked, {len(completions)} answered"
    rows = []
    for draft in drafts.rows:
        completion = completions[draft.request.key]
        rows.append(draft.row | {
            "prompt": draft.prompt,
            "prompt_token_ids": draft.request.prompt_token_ids,
            "text": decode(completion.token_ids),
            "token_ids": completion.token_ids,
            "finish_reason": completion.finish_reason,
            "seed": draft.request.seed,
            "cumulative_logprob": completion.cumulative_logprob,
        })  # fmt: skip
    return pa.Table.from_pylist(rows, schema=schema)


def _request(
    prompting: Prompting, shard: Shard, stage: str, question: dict[str, Any], token_ids: list[int], *indices: int
) -> Request:
    seed = sample_seed(
        prompting.config.seed, question["source"], question["question_id"], stage, prompting.iteration, *indices
    )
    return Request((shard.file, question["question_id"], *map(str, indices)), token_ids, seed)


def _set_aside(question_id: str, detail: str, rows: int) -> dict[str, Any]:
    return {"question_id": question_id, "code": "PROMPT_TOO_LONG", "detail": detail, "rows": rows}


