import json
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from conf.schema import Prompt
from generation.prompts import check_prompt, correction_messages, initial_messages
from generation.samples import answers_read
from generation.tokenization import ChatTokenizer
from store.errors import ConfigError

PRESETS = sorted((Path(__file__).parents[2] / "conf" / "prompt").glob("*.yaml"))
BLOCK_SIZE = 32  # tokens; vLLM's prefix cache keeps whole blocks
QUESTIONS = ("who wrote the first computer program", "where does the Danube end", "when was Kraków founded")
INITIAL_ANSWERS = ("Ada Lovelace", "Charles Babbage wrote it.", "It was in 1843.", "Grace Hopper", "I do not know that")


def preset(path: Path) -> Prompt:
    return Prompt.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def prompt(**changed: object) -> Prompt:
    values = {
        "name": "test",
        "initial": [{"role": "user", "content": "Question: {question}"}],
        "correction": [{"role": "user", "content": "{question} is {initial_answer}? Answer again, {question}"}],
        "training": [{"role": "user", "content": "{question} {initial_answer}"}],
        "answer_marker": None,
    }
    return Prompt.model_validate(values | changed)


def user(content: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_asks_what_its_stage_is_about(path):
    check_prompt(preset(path))
    assert preset(path).name == path.stem


def test_placeholders_are_filled_in_one_pass():
    question, initial_answer = "{initial_answer} {question} {} {0} {question!r} %s", "{question}{initial_answer}"
    assert initial_messages(prompt(), question) == user(f"Question: {question}")
    assert correction_messages(prompt(), question, initial_answer) == user(
        f"{question} is {initial_answer}? Answer again, {question}"
    )


def test_several_answers_are_numbered_without_what_was_thought():
    several = prompt(num_answers=3, correction=user("{question}\n{answers}"))
    asked = correction_messages(several, "who", "Ada", "<think>Bob?</think>Grace", "{question}")
    assert asked == user("who\n1. Ada\n2. Grace\n3. {question}")


def test_a_correction_reads_the_first_answers_and_its_own():
    answers = {0: "a", 1: "b", 2: "c", 4: "e"}  # the fourth was quarantined
    assert [answers_read(answers, j, 3) for j in answers] == [["a", "b", "c"]] * 3 + [["a", "b", "e"]]
    assert answers_read({1: "b", 5: "f"}, 5, 3) == ["b", "f"]


@pytest.mark.parametrize(("value", "text"), [
    ("a {question}", "a {question}"), (["A) x", "B) y"], "A) x\nB) y"), (None, ""), (3, "3"), ([1, 2], "[1, 2]"),
    ({"a": "é"}, '{"a": "é"}'), ("", ""),
])  # fmt: skip
def test_further_columns_stand_where_their_names_do(value, text):
    asked = {"question": "who {choices}", "choices": json.dumps(value, ensure_ascii=False)}
    shown = prompt(columns=["choices"], initial=user("{question} {choices} {other}"))
    check_prompt(shown)
    assert initial_messages(shown, asked) == user(f"who {{choices}} {text} {{other}}")
    assert correction_messages(shown, asked, "Ada") == user("who {choices} is Ada? Answer again, who {choices}")
    assert initial_messages(prompt(initial=user("{question} {choices}")), asked) == user("who {choices} {choices}")


def test_raw_text_goes_in_as_it_is():
    for raw in ("", "  \n\t ", "\\1 \\g<1> \\n", "<|im_end|>", "\ue000", "é" * 10_000):
        assert initial_messages(prompt(), raw) == user(f"Question: {raw}")


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"initial": user("Answer.")}, "prompt.initial"),
        ({"initial": user("{Question}")}, "prompt.initial"),
        ({"initial": user("{question} {initial_answer}")}, "prompt.initial"),
        ({"correction": user("{question}")}, "prompt.correction"),
        ({"correction": user("{initial_answer}")}, "prompt.correction"),
        ({"initial": [*user("{question}"), {"role": "assistant", "content": "It is"}]}, r"prompt.initial.1.role"),
        ({"answer_marker": "Final Answer:"}, "prompt.answer_marker"),
        ({"answer_marker": ""}, "prompt.answer_marker"),
        ({"correction": user("{question} {answers}")}, "prompt.correction"),
        ({"num_answers": 2}, "prompt.correction"),
        ({"verdict": {"keep": "Yes", "replace": "No"}}, "prompt.verdict.keep"),
        ({"verdict": {"keep": "is", "replace": "No"}}, "prompt.verdict.replace"),
        ({"verdict": {"keep": "is", "replace": "Is"}}, "prompt.verdict.replace"),
        ({"verdict": {"keep": "is", "replace": "is"}}, "give two words"),
        (
            {"correction": user("{question} {initial_answer} Дальше"), "verdict": {"keep": "Да", "replace": "Нет"}},
            "prompt.verdict.keep",
        ),
        ({"columns": ["choices"]}, "prompt.columns takes choices, and no message shows {choices}"),
    ],
)
def test_a_preset_that_cannot_work_is_refused_by_its_key(changed, key):
    with pytest.raises(ConfigError, match=key):
        check_prompt(prompt(**changed))


@pytest.mark.parametrize("said", ["请说是或否", "“是” / “否”", "是, 否"])
def test_words_of_a_verdict_may_stand_without_spaces(said):
    correction = user(f"{{question}} {{initial_answer}} {said}")
    check_prompt(prompt(correction=correction, verdict={"keep": "是", "replace": "否"}))


def test_a_role_that_no_chat_has_is_refused():
    with pytest.raises(ValidationError, match=r"initial\.0\.role"):
        prompt(initial=[{"role": "human", "content": "{question}"}])


def test_most_of_a_correction_prompt_is_in_the_prefix_cache(smollm2_tokenizer):
    """qa, five initial answers a question: blocks that initial prompts or earlier corrections have computed."""
    tokenizer, qa = ChatTokenizer(smollm2_tokenizer), preset(next(path for path in PRESETS if path.stem == "qa"))
    known: set[tuple[int, ...]] = set()
    num_cached = num_tokens = 0
    for question in QUESTIONS:
        prompts = [tokenizer.encode(correction_messages(qa, question, answer)) for answer in INITIAL_ANSWERS]
        known |= blocks(tokenizer.encode(initial_messages(qa, question)))
        for ids in prompts:
            num_cached += BLOCK_SIZE * len(blocks(ids) & known)
            num_tokens += len(ids)
            known |= blocks(ids)
    assert num_cached / num_tokens >= 0.6


def blocks(ids: list[int]) -> set[tuple[int, ...]]:
    """The prefixes of `ids` that end with a whole block."""
    return {tuple(ids[:stop]) for stop in range(BLOCK_SIZE, len(ids) + 1, BLOCK_SIZE)}
