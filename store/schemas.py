"""The tables between the stages. Every field is required; texts are raw, normalization lives in the reward.

A row's key is what its table lists first: question_id, then init_index j in [0, N_init), then corr_index k in
[0, N_corr) (Algorithm 1 of arXiv 2503.08681: y1_ij and y2_ijk; a correction belongs to its own j).
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

VERSION = 1

SPLITS = ("train", "validation", "test")
# SCoRe's: incorrect or correct, before and after the correction.
TRANSITIONS = ("i->c", "c->i", "c->c", "i->i")

MESSAGES = pa.list_(pa.struct([pa.field("role", pa.string(), False), pa.field("content", pa.string(), False)]))
TOKENS = pa.list_(pa.field("element", pa.int32(), False))


def _schema(*fields: tuple[str, pa.DataType]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields])


QUESTIONS = _schema(
    ("question_id", pa.string()),
    ("question", pa.string()),
    ("answers", pa.list_(pa.field("element", pa.string(), False))),  # gold aliases, any one of them is correct
    ("split", pa.string()),
    ("source", pa.string()),
)


def questions(settings: Mapping[str, Any]) -> pa.Schema:
    """Return the schema of questions that were made by these settings, those in their manifest: QUESTIONS, and the
    further columns of data.columns.more, each value as JSON."""
    more = settings.get("columns", {}).get("more", [])
    return pa.schema([*QUESTIONS, *_schema(*((name, pa.string()) for name in more))]) if more else QUESTIONS


_SAMPLE = (
    ("prompt", MESSAGES),
    ("prompt_token_ids", TOKENS),
    ("text", pa.string()),  # special tokens left out
    ("token_ids", TOKENS),  # as sampled, the stop token included
    ("finish_reason", pa.string()),  # "stop" or "length"
    ("seed", pa.int64()),
    ("cumulative_logprob", pa.float32()),  # NaN where it was not asked for: vLLM needs sampling.args.logprobs=0
)

INITIAL_ANSWERS = _schema(("question_id", pa.string()), ("init_index", pa.int32()), *_SAMPLE)

CORRECTIONS = _schema(
    ("question_id", pa.string()),
    ("init_index", pa.int32()),
    ("corr_index", pa.int32()),
    ("initial_answer", pa.string()),
    *_SAMPLE,
)

# What a judge said (reward=judge): a row for every different text of a question.
JUDGEMENTS = _schema(
    ("key", pa.string()),  # of judge, question, text, and gold answers where it is shown them (filtering.judged)
    ("question_id", pa.string()),
    ("text", pa.string()),  # as rewards get it
    ("score", pa.float32()),  # probability of Yes; NaN where it could not be judged
    ("said", pa.string()),  # the answer, or why there is none
    ("prompt_tokens", pa.int32()),
    ("completion_tokens", pa.int32()),
    ("seconds", pa.float32()),
    ("asked_in", pa.string()),  # <run>/iter_<n>, the first that wanted to know
)

# `trajectories` adds initial_<reward> and correction_<reward> for every reward computed: see `trajectories()`.
_TRAJECTORY = (
    ("question_id", pa.string()),
    ("init_index", pa.int32()),
    ("corr_index", pa.int32()),
    ("split", pa.string()),
    ("question", pa.string()),
    ("answers", pa.list_(pa.field("element", pa.string(), False))),
    ("initial_answer", pa.string()),
    ("correction", pa.string()),
    ("initial_final_answer", pa.string()),  # normalized, "" where there is none: what a majority votes on
    ("correction_final_answer", pa.string()),
    ("initial_reward", pa.float32()),  # the chosen reward, r(y1)
    ("correction_reward", pa.float32()),  # r(y2)
    ("transition", pa.string()),  # i->c, c->i, c->c, i->i
    ("is_copy", pa.bool_()),  # the correction is its initial answer verbatim, but for what a model thinks before it
    ("kept", pa.bool_()),
    ("reason", pa.string()),
    ("flags", pa.list_(pa.field("element", pa.string(), False))),
    ("initial_finish_reason", pa.string()),
    ("correction_finish_reason", pa.string()),
    ("initial_num_tokens", pa.int32()),
    ("correction_num_tokens", pa.int32()),
)


_VERDICT = (("verdict", pa.string()), ("contradicted", pa.bool_()))  # keep, replace, missing; of prompts with verdicts


def trajectories(rewards: list[str], with_verdict: bool = False) -> pa.Schema:
    """Return the trajectories schema with a pair of float32 columns for every reward in `rewards`."""
    names = [f"{side}_{reward}" for reward in rewards for side in ("initial", "correction")]
    return _schema(*_TRAJECTORY, *((name, pa.float32()) for name in names), *(_VERDICT if with_verdict else ()))


# Corrections of corrections, rounds 2 and on, of evaluation (eval.rounds): one row per text.
ROUNDS = _schema(
    ("question_id", pa.string()),
    ("init_index", pa.int32()),
    ("corr_index", pa.int32()),
    ("round", pa.int32()),
    ("split", pa.string()),
    ("corrected", pa.string()),  # the text of the round before
    ("correction", pa.string()),
    ("reward", pa.float32()),  # the chosen reward
    ("correct", pa.bool_()),
    ("num_tokens", pa.int32()),
)

SFT = _schema(
    ("question_id", pa.string()),
    ("init_index", pa.int32()),
    ("corr_index", pa.int32()),
    ("prompt", MESSAGES),
    ("completion", MESSAGES),
    ("input_ids", TOKENS),  # prompt_token_ids + token_ids, as sampled
    ("completion_mask", pa.list_(pa.field("element", pa.int8(), False))),  # 0 on the prompt, 1 on the completion
)

# Preferences: texts of one prompt, correct or not. turn: "initial_answer", whose corr_index is -1, or "correction".
_PROMPTED = (("question_id", pa.string()), ("turn", pa.string()), ("prompt", MESSAGES))

DPO = _schema(
    *_PROMPTED,
    ("chosen", MESSAGES),  # one assistant turn, a correct text
    ("rejected", MESSAGES),  # and an incorrect one
    ("chosen_init_index", pa.int32()),
    ("chosen_corr_index", pa.int32()),
    ("rejected_init_index", pa.int32()),
    ("rejected_corr_index", pa.int32()),
)

KTO = _schema(
    *_PROMPTED,
    ("completion", MESSAGES),
    ("label", pa.bool_()),  # whether it is correct
    ("init_index", pa.int32()),
    ("corr_index", pa.int32()),
)


def sft(is_mixed: bool) -> pa.Schema:
    """Return the schema of rows to train on; where there are others beside the kept corrections, with their reason and
    the sample that the completion is (completion_corr_index is -1 for an initial answer)."""
    if not is_mixed:
        return SFT
    more = (("reason", pa.string()), ("completion_init_index", pa.int32()), ("completion_corr_index", pa.int32()))
    return pa.schema([*SFT, *_schema(*more)])
