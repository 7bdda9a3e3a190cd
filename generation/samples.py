"""Requests for a shard's samples, and the tables their completions become. Rows out = rows in x n, always."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from conf.schema import Config
from generation.engines.interface import Completion, Key, Request
from generation.plan import Shard
from generation.prompts import correction_messages, initial_messages
from store.errors import BadInput
from store.fingerprint import sample_seed

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


class Unusable(ValueError):
    """(code, detail): a prompt that is set aside before it reaches the engine."""


@dataclass(frozen=True)
class Prompting:
    """What turns a question into requests. encode: messages -> token ids; max_prompt_tokens leaves room to answer."""

    config: Config
    iteration: int
    encode: Callable[[Messages], list[int]]
    max_prompt_tokens: int

    def tokenize(self, prompt: Messages) -> list[int]:
        """A prompt's ids; Unusable when it has none that can be sent (one such request could abort a whole batch)."""
        try:
            token_ids = self.encode(prompt)
        except BadInput as error:
            raise Unusable("PROMPT_REFUSED", str(error)) from error
        if len(token_ids) > self.max_prompt_tokens:
            detail = f"{len(token_ids)} tokens, at most {self.max_prompt_tokens} leave room for max_tokens"
            raise Unusable("PROMPT_TOO_LONG", detail)
        return token_ids


def draft_initial_answers(prompting: Prompting, shard: Shard, questions: list[dict[str, Any]]) -> Drafts:
    """N_init samples y1_ij ~ M(x_i) for each question; the prompt is made and tokenised once per question."""
    rows, quarantined = [], []
    for question in questions:
        prompt = initial_messages(prompting.config.prompt, question["question"])
        try:
            token_ids = prompting.tokenize(prompt)
        except Unusable as error:
            quarantined.append(_set_aside(error, shard.num_initial, question_id=question["question_id"]))
            continue
        for j in range(shard.num_initial):
            request = _request(prompting, shard, "initial_answer", question, token_ids, j)
            rows.append(Draft({"question_id": question["question_id"], "init_index": j}, prompt, request))
    return Drafts(rows, quarantined)


def draft_corrections(
    prompting: Prompting, shard: Shard, questions: list[dict[str, Any]], corrected: pa.Table, round: int = 1
) -> Drafts:
    """N_corr samples y2_ijk ~ M_{n-1}(x_i, y1_ij) for each initial answer, in its order, so that those with one
    prompt run together; in round r > 1 one sample for each correction of round r - 1. Gold answers are not in it."""
    by_id = {question["question_id"]: question for question in questions}
    stage = "correction" if round == 1 else f"correction_{round:02d}"
    given = ["question_id", "init_index"] if round == 1 else ["question_id", "init_index", "corr_index"]
    rows, quarantined = [], []
    for answer in corrected.select([*given, "text"]).to_pylist():
        question, text = by_id[answer["question_id"]], answer.pop("text")
        samples = [answer | {"corr_index": k} for k in range(shard.num_corrections)] if round == 1 else [answer]
        prompt = correction_messages(prompting.config.prompt, question["question"], text)
        try:
            token_ids = prompting.tokenize(prompt)
        except Unusable as error:
            quarantined.append(_set_aside(error, len(samples), **answer))
            continue
        for key in samples:
            request = _request(prompting, shard, stage, question, token_ids, key["init_index"], key["corr_index"])
            rows.append(Draft(key | {"initial_answer": text}, prompt, request))
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
    greedy = prompting.config.eval.greedy and shard.split != "train"
    return Request((shard.file, question["question_id"], *map(str, indices)), token_ids, seed, greedy)


def _set_aside(error: Unusable, rows: int, **key: Any) -> dict[str, Any]:
    code, detail = error.args
    return key | {"code": code, "detail": detail, "rows": rows}
