"""Chat templates as models have them: without a system turn, with content in parts, with arguments, with thoughts; and
what ends an answer."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers, trainers

from conf.schema import Message, Prompt
from generation.prompts import correction_messages
from generation.tokenization import ChatTokenizer
from store.chat import stop_token_ids
from store.errors import ConfigError
from store.schemas import SFT
from tests.generation.test_tokenization_folders import TEMPLATE, make_folder, reference_ids, user
from training.separate_prompt import with_prompts

SYSTEM = {"role": "system", "content": "Be brief."}
ANSWERED = [*user("who"), {"role": "assistant", "content": "Ada"}, *user("Check it.")]
DATED = "{{ strftime_now('%d %b %Y') }}" + TEMPLATE
PARTS = (
    "{% for m in messages %}<|{{ m.role }}|>\n{% for part in m.content %}{{ part.text }}{% endfor %}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
REFUSES_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + TEMPLATE
DROPS_SYSTEM = TEMPLATE.replace("in messages", "in messages if message.role != 'system'")
THINKS = (
    TEMPLATE.replace("{% endif %}", "")
    + "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% else %}<think>\n"
    + "{% endif %}{% endif %}"
)
MARKS = (AddedToken("<think>", special=True), AddedToken("</think>", special=True))


def shown(tokenizer: ChatTokenizer, messages: list[dict[str, str]]) -> str:
    """The prompt as the model reads it, control tokens spelled out."""
    return tokenizer._backend.decode(tokenizer.encode(messages), skip_special_tokens=False)


@pytest.mark.parametrize("template", [REFUSES_SYSTEM, DROPS_SYSTEM])
def test_a_system_turn_that_is_not_taken_opens_the_user_turn(tmp_path, template):
    tokenizer = ChatTokenizer(make_folder(tmp_path, template=template))
    assert tokenizer.encode([SYSTEM, *ANSWERED]) == tokenizer.encode([*user("Be brief.\n\nwho"), *ANSWERED[1:]])


def test_a_system_turn_that_is_taken_stays(tmp_path):
    folder = make_folder(tmp_path)
    tokenizer = ChatTokenizer(folder)
    assert tokenizer.encode([SYSTEM, *ANSWERED]) == reference_ids(folder, [SYSTEM, *ANSWERED])
    assert shown(tokenizer, [SYSTEM, *user("who")]).startswith("<|system|>")


def test_content_in_parts_reads_as_text_does(tmp_path):
    text = ChatTokenizer(make_folder(tmp_path / "text"))
    parts = ChatTokenizer(make_folder(tmp_path / "parts", template=PARTS))
    assert parts.encode([SYSTEM, *ANSWERED]) == text.encode([SYSTEM, *ANSWERED])
    assert "who" in shown(parts, ANSWERED)


def test_a_turn_that_the_template_leaves_out_is_named(tmp_path):
    only_last = TEMPLATE.replace("in messages", "in messages[-1:]")
    with pytest.raises(ConfigError, match=r"writes nothing of the user, assistant turn"):
        ChatTokenizer(make_folder(tmp_path, template=only_last))


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("{% for m in %}", "no valid Jinja"),
        ("{{ raise_exception('never') }}", "does not take the turns user .TemplateError: never"),
        ("{{ messages[0].content[0].nothing.more }}", "does not take the turns user .UndefinedError"),
        ("<|end|>", "writes nothing of the user turn"),
    ],
)
def test_a_template_that_renders_no_chat_is_refused(tmp_path, template, found):
    with pytest.raises(ConfigError, match=found):
        ChatTokenizer(make_folder(tmp_path, template=template))


@pytest.mark.parametrize(
    ("args", "start"), [({}, "01 Jan 2025"), ({"strftime_now": lambda form: "26 Jul 2024"}, "26 Jul 2024")]
)
def test_generation_and_training_print_the_same_date(tmp_path, args, start):
    folder = make_folder(tmp_path, template=DATED)
    tokenizer = ChatTokenizer(folder, args)
    assert shown(tokenizer, user("who")).startswith(start)
    row = {field.name: None for field in SFT} | {
        "question_id": "q", "init_index": 0, "corr_index": 0, "prompt": user("who"),
        "completion": [{"role": "assistant", "content": "Ada"}], "input_ids": [5], "completion_mask": [1],
    }  # fmt: skip
    (trained,) = with_prompts(pa.Table.from_pylist([row], schema=SFT), folder, args).to_pylist()
    assert trained["input_ids"] == [*tokenizer.encode(user("who")), 5]


def test_added_tokens_that_are_vocabulary_are_ordinary_text(tmp_path):
    """As in Gemma: runs of blanks, tags."""
    backend = Tokenizer(models.BPE(unk_token="?", fuse_unk=True))
    trainer = trainers.BpeTrainer(vocab_size=110, show_progress=False)
    backend.train_from_iterator(["▁▁who▁▁wrote▁▁it▁\n<b><b><b>who'sA-Z. ,?1922<>|"], trainer)
    backend.normalizer = normalizers.Replace(" ", "▁")
    assert {"▁▁", "<b>"} <= backend.get_vocab().keys()
    ordinary = (AddedToken("▁▁", normalized=False), AddedToken("<b>", normalized=False))
    folder = make_folder(tmp_path, backend=backend, more_tokens=ordinary)
    tokenizer = ChatTokenizer(folder)
    for content in ("who  wrote   it", "<b>who</b>", "▁▁who", "  "):
        assert tokenizer.encode(user(content)) == reference_ids(folder, user(content))
    assert len(tokenizer.control_ids) == 4  # the turns' own


@pytest.mark.parametrize("spelled", ["<|fim|>", "<｜User｜>", "<think>"])
def test_control_tokens_need_not_be_special(tmp_path, spelled):
    template = TEMPLATE.replace("<|assistant|>\n", "<|assistant|>\n<think></think>")
    more = (AddedToken(spelled, special=False, normalized=False),)
    tokenizer = ChatTokenizer(make_folder(tmp_path, template=template, more_tokens=more))
    expected = tokenizer.encode(user("x"))
    count = sum(i in tokenizer.control_ids for i in expected)
    assert sum(i in tokenizer.control_ids for i in tokenizer.encode(user(spelled))) == count


def test_thoughts_of_an_answer_never_reach_the_correction_prompt(tmp_path):
    prompt = Prompt(
        name="test", initial=[Message(role="user", content="{question}")],
        correction=[Message(**turn) for turn in (
            {"role": "user", "content": "{question}"}, {"role": "assistant", "content": "{initial_answer}"},
            {"role": "user", "content": "Check it."},
        )],
        training=[Message(role="user", content="{question} {initial_answer}")], answer_marker=None,
    )  # fmt: skip
    tokenizer = ChatTokenizer(make_folder(tmp_path, template=THINKS, more_tokens=MARKS))
    plain = shown(tokenizer, correction_messages(prompt, "who", "Ada"))
    assert shown(tokenizer, correction_messages(prompt, "who", "<think>\nBob? No.\n</think>\n\nAda")) == plain
    assert "Bob" not in shown(tokenizer, correction_messages(prompt, "who", "<think>\nBob? N"))


def test_a_decoded_text_says_what_of_it_is_thought(tmp_path):
    """The marks are special tokens here, and the template opens the thought."""
    folder = make_folder(tmp_path, template=THINKS, more_tokens=MARKS)
    tokenizer = ChatTokenizer(folder)
    ids = tokenizer._backend.encode("Bob? No.</think>Ada<|end|>").ids
    assert tokenizer.decode(ids) == "<think>\nBob? No.</think>Ada"
    off = ChatTokenizer(folder, {"enable_thinking": False})
    assert off.decode(tokenizer._backend.encode("Ada<|end|>").ids) == "Ada"
    assert off.encode(user("who")) != tokenizer.encode(user("who"))


def test_stop_tokens_are_those_of_the_engines_rule(tmp_path):
    folder = make_folder(tmp_path)
    end = ChatTokenizer(folder).stop_token_ids[0]
    assert stop_token_ids(folder, {}) == (end,)
    for config, generation, expected in (
        ({"eos_token_id": 7}, None, (7, end)),
        ({"text_config": {"eos_token_id": [7, 8]}}, None, (7, 8, end)),
        ({"eos_token_id": 7}, {"eos_token_id": 9}, (9, end)),
        ({"eos_token_id": 7}, {}, (end,)),
    ):
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "generation_config.json").unlink(missing_ok=True)
        if generation is not None:
            (folder / "generation_config.json").write_text(json.dumps(generation))
        assert stop_token_ids(folder, {}) == ChatTokenizer(folder).stop_token_ids == tuple(sorted(expected))
    assert 11 in stop_token_ids(folder, {"stop_token_ids": [11]})


@pytest.mark.parametrize("given", ["7", 7, ["7"], [-1], None])
def test_further_stop_tokens_are_a_list_of_ids(tmp_path, given):
    with pytest.raises(ConfigError, match=r"sampling.args.stop_token_ids=.*: a list of token ids was expected"):
        ChatTokenizer(make_folder(tmp_path), {}, {"stop_token_ids": given})


def test_the_token_that_ends_an_answer_must_stop_generation(tmp_path):
    """As in base models, and Llama 3 without its generation_config.json; the message's setting mends it."""
    folder = make_folder(tmp_path, eos_token="<|eos|>", more_tokens=(AddedToken("<|eos|>", special=True),))
    with pytest.raises(ConfigError, match=r"ends an answer with <\|end\|> \(id (\d+)\)") as refused:
        ChatTokenizer(folder)
    setting = str(refused.value).partition("stop_token_ids=")[2].partition(",")[0]
    assert ChatTokenizer(folder, {}, {"stop_token_ids": json.loads(setting)})


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("form", [str, dict])
def test_the_tokenizers_eos_is_found_where_it_is_said(tmp_path, name, form):
    folder: Path = make_folder(tmp_path)
    (folder / "tokenizer_config.json").write_text("{}")
    eos = "<|end|>" if form is str else {"__type": "AddedToken", "content": "<|end|>"}
    (folder / name).write_text(json.dumps({"eos_token": eos}))
    assert stop_token_ids(folder, {}) == (ChatTokenizer(folder)._tokenizer.eos_token_id,)
