"""What does not go together is refused before an engine starts, all of it in one message."""

import json
import re
import shutil

import pytest

from conf.schema import Engine, Message, Prompt
from generation.model_check import chat_findings, engine_findings, prompt_lengths, sampling_findings
from generation.prompts import initial_messages
from generation.tokenization import ChatTokenizer
from store.shards import read_manifest
from tests.conftest import TEMPLATE
from tests.generation.test_chats import MARKS, THINKS
from tests.generation.test_tokenization_folders import make_folder


def test_everything_that_is_wrong_is_said_at_once(workspace, tiny_model, tmp_path):
    """Before a worker starts: no log of one is there."""
    model = shutil.copytree(tiny_model, tmp_path / "model")
    template = TEMPLATE.replace(
        "{% for", "{% if messages | length > 5 %}{{ raise_exception('long') }}{% endif %}{% for", 1
    )
    (model / "chat_template.jinja").write_text(template)
    wrong = (f"model.path={model}", "+sampling.args.n=2", "+sampling.args.stop=[x]", "engine.args.max_model_len=40")
    workspace.start("wrong", *wrong)
    done = workspace.stage("generation", "run=wrong", "iteration=0", check=False)
    assert done.returncode == 2, done.stderr
    for words in (
        "sampling.args.n ",
        "sampling.args.stop ",
        "prompt.initial: ",
        "TemplateError: long",
        "prompt.correction",
    ):
        assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((workspace.run("wrong") / "iter_00" / "logs").glob("*.log"))


def test_a_split_without_room_is_named_and_the_run_takes_other_settings(workspace):
    workspace.start("narrow", "engine.args.max_model_len=64")
    done = workspace.stage("generation", "run=narrow", "iteration=0", check=False)
    assert done.returncode == 2
    assert "no question of test has room: the shortest needs" in done.stderr
    workspace.stage("conf", "run=narrow", "engine.args.max_model_len=2048")
    workspace.stage("generation", "run=narrow", "iteration=0")


def with_long_questions(workspace, every: int, words: int) -> None:
    lines = [
        {"question": f"{i}: {'very ' * words * (i % every == 0)}red or blue?", "answers": ["red"]} for i in range(60)
    ]
    (workspace.folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_questions_without_room_are_counted_before_an_engine_starts(workspace):
    """As many as are quarantined afterwards."""
    with_long_questions(workspace, every=5, words=1500)
    workspace.start("some")
    said = workspace.stage("generation", "run=some", "iteration=0").stdout
    (number,) = map(int, re.findall(r"(\d+) of the 20 questions of train have no room and will be quarantined", said))
    manifest = read_manifest(workspace.run("some") / "iter_00" / "initial_answers")
    others = sum(map(int, re.findall(r"(\d+) of the 6 questions", said)))
    assert manifest.quarantined == 2 * number + others


def test_a_split_mostly_without_room_is_refused(workspace):
    with_long_questions(workspace, every=1, words=1500)
    workspace.start("most")
    done = workspace.stage("generation", "run=most", "iteration=0", check=False)
    assert done.returncode == 2 and "no question of train has room" in done.stderr
    assert not (workspace.run("most") / "iter_00").exists()


def test_prompts_are_as_long_as_counted(tmp_path):
    """But for a token where a question meets the prompt; where none can be too long nothing is counted."""
    chat = [Message(role="user", content="{question} or {question}")]
    prompt = Prompt(name="p", initial=chat, correction=chat, training=chat, answer_marker=None)
    tokenizer = ChatTokenizer(make_folder(tmp_path))
    questions = ["who?", ("the answer " * 9).strip(), "¿quién?", "日本の首都", "<|end|> wrote <|user|>"]
    exact = [len(tokenizer.encode(initial_messages(prompt, question))) for question in questions]
    counted = prompt_lengths(prompt, tokenizer, questions, 0)
    assert all(abs(a - b) <= 1 for a, b in zip(counted[:4], exact[:4], strict=True))
    assert set(prompt_lengths(prompt, tokenizer, questions, 10_000)) == {min(exact)}
    assert prompt_lengths(prompt, tokenizer, [], 0) == []


def test_arguments_that_would_change_what_a_row_is_are_named():
    assert list(sampling_findings({"min_p": 0.1, "stop_token_ids": [7]})) == []
    assert [finding.split()[0] for finding in sampling_findings({"stop": ["x"], "n": 2})] == [
        "sampling.args.n",
        "sampling.args.stop",
    ]


@pytest.mark.parametrize(
    ("shape", "given", "found"),
    [
        ({"max_position_embeddings": 2048}, {"max_model_len": 2048}, None),
        ({"max_position_embeddings": 2048, "rope_scaling": {"rope_type": "yarn"}}, {"max_model_len": 4096}, None),
        ({"layer_types": ["conv", "full_attention"]}, {"max_model_len": 9}, "enable_prefix_caching=false"),
        ({"layer_types": ["sliding_attention", "full_attention"]}, {"max_model_len": 9}, None),
    ],
)
def test_what_vllm_would_refuse_is_read_from_the_config(tmp_path, shape, given, found):
    (tmp_path / "config.json").write_text(json.dumps(shape))
    throughput = {"enable_prefix_caching": True, "enable_chunked_prefill": False}
    engine = Engine(kind="vllm", args=given, throughput=throughput)
    findings = list(engine_findings(engine, tmp_path))
    assert found in findings[0] if found else findings == []


@pytest.mark.parametrize(
    ("args", "max_tokens", "said"),
    [({}, 32, True), ({}, 1536, False), ({"enable_thinking": False}, 32, False)],
)
def test_thoughts_must_fit_the_budget(tmp_path, args, max_tokens, said):
    chat = [Message(role="user", content="{question}")]
    prompt = Prompt(name="p", initial=chat, correction=chat, training=chat, answer_marker=None)
    tokenizer = ChatTokenizer(make_folder(tmp_path, template=THINKS, more_tokens=MARKS), args)
    found = chat_findings(prompt, max_tokens, tokenizer)
    assert any("thinks before it answers" in finding for finding in found) == said
