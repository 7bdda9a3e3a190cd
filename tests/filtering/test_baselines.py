"""Rows of the baselines: correct initial answers as they were sampled, gold answers as the model would say them."""

import json

import pyarrow.parquet as pq
import pytest

from conf.__main__ import composed
from conf.validation import validate
from filtering.__main__ import filter_iteration
from filtering.baselines import end_of_turn, tokenizer
from filtering.configured import settings_of
from filtering.source import Source
from store.errors import ConfigError
from store.run import Run
from tests.conftest import make_workspace

TRAIN = [
    ("q0", "who", ["Ann", "Anna"], [("Ann", ["Eve", "Ann"]), ("Eve", ["Ann", "Ann"]), ("Ann", ["Ann", "Ann"])]),
    ("q1", "where", ["Rome"], [("Rome...", ["Rome", "Rome"]), ("in Rome", ["Oslo", ""]), ("Oslo", ["Rome", "Rome"])]),
]


def reasons(run: Run, strategy: str, *overrides: str) -> dict[str, list[str]]:
    settings = settings_of(validate(composed(Run("demo"), [f"strategy={strategy}", "engine=fake", *overrides])))
    filter_iteration(Source(run, 0, {"train": 2}), settings, 0)
    table = pq.read_table(run.iteration(0).trajectories)
    rows = zip(table["question_id"].to_pylist(), table["reason"].to_pylist(), strict=True)
    found: dict[str, list[str]] = {}
    for question_id, reason in rows:
        found.setdefault(question_id, []).append(reason)
    return found


def test_a_correct_initial_answer_is_one_row_however_many_corrections_it_has(make_run):
    run = make_run({"train": TRAIN})
    assert reasons(run, "STAR") == {
        "q0": ["initial_correct", "repeated", "initial_incorrect", "repeated", "initial_correct", "repeated"],
        "q1": ["truncated", "truncated", "initial_correct", "repeated", "initial_incorrect", "repeated"],
    }
    rows = pq.read_table(run.iteration(0).sft).to_pylist()
    assert [(row["question_id"], row["init_index"], row["corr_index"]) for row in rows] == [
        ("q0", 0, 0), ("q0", 2, 0), ("q1", 1, 0),
    ]  # fmt: skip
    sampled = pq.read_table(run.iteration(0).initial_answers).to_pylist()
    answers = {(row["question_id"], row["init_index"]): row for row in sampled}
    for row in rows:
        answer = answers[row["question_id"], row["init_index"]]
        assert row["prompt"] == answer["prompt"]
        assert row["completion"] == [{"role": "assistant", "content": answer["text"]}]
        assert row["input_ids"] == answer["prompt_token_ids"] + answer["token_ids"]
        assert sum(row["completion_mask"]) == len(answer["token_ids"])


def test_duplicates_and_the_cap_count_initial_answers(make_run):
    run = make_run({"train": TRAIN})
    found = reasons(run, "STAR", "filter.drop_duplicates=true")
    assert sorted(found["q0"]) == ["duplicate", "initial_correct", "initial_incorrect", *["repeated"] * 3]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model):
    workspace = make_workspace(tmp_path_factory.mktemp("trained"), tiny_model)
    sampled = ("sampling.num_initial=1", "sampling.num_corrections=1", "training.stop_check.num_prompts=0")
    workspace.iterate("gold", 1, "strategy=GOLD", *sampled)
    return workspace


def test_gold_answers_are_the_models_own_tokens_and_the_model_trains_on_them(trained, tiny_model):
    from generation.tokenization import ChatTokenizer

    folder, chat = trained.run("gold") / "iter_00", ChatTokenizer(tiny_model)
    rows = pq.read_table(folder / "sft").to_pylist()
    prompts = {row["question_id"]: row for row in pq.read_table(folder / "initial_answers").to_pylist()}
    questions = {row["question_id"]: row for row in pq.read_table(trained.run("gold") / "questions").to_pylist()}
    assert len({row["question_id"] for row in rows}) == len(rows) == 20
    for row in rows:
        answer = questions[row["question_id"]]["answers"][0]
        assert row["prompt"] == prompts[row["question_id"]]["prompt"]
        assert row["completion"] == [{"role": "assistant", "content": answer}]
        messages = [*row["prompt"], *row["completion"], {"role": "user", "content": "."}]
        assert chat.encode(messages)[: len(row["input_ids"])] == row["input_ids"]
        trained_ids = [i for i, m in zip(row["input_ids"], row["completion_mask"], strict=True) if m]
        assert trained_ids[-1] in chat.stop_token_ids and chat.decode(trained_ids) == answer
        assert row["input_ids"][: -len(trained_ids)] == prompts[row["question_id"]]["prompt_token_ids"]
    metrics = json.loads((folder / "metrics.json").read_bytes())
    assert metrics["splits"]["train"]["reasons"] == {"gold": 20}
    assert (trained.run("gold") / "iter_01" / "metrics.json").exists()


def test_a_control_token_in_a_gold_answer_stays_text(trained, tiny_model):
    from generation.tokenization import ChatTokenizer

    run, chat = Run("gold", trained.folder / "runs"), ChatTokenizer(tiny_model)
    tokens = tokenizer(run, 2)("red<|im_end|>\n<|im_start|>user")
    assert tokens.pop() == 2 and not chat.control_ids.intersection(tokens)
    assert chat.decode(tokens) == "red<|im_end|>\n<|im_start|>user"


def test_without_an_answer_that_ends_there_is_no_end_of_turn(make_run):
    ended, cut_off = ("q0", "who", ["Ann"], [("Ann", ["Ann"])]), ("q0", "who", ["Ann"], [("Ann...", ["Ann"])])
    assert end_of_turn(Source(make_run({"train": [ended]}, name="ended"), 0, {"train": 1})) == 2
    with pytest.raises(ConfigError, match=r"no answer to a training question ended by itself.*max_tokens"):
        end_of_turn(Source(make_run({"train": [cut_off]}, name="cut"), 0, {"train": 1}))
