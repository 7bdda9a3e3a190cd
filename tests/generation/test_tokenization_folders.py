"""Tokenizers and templates of other kinds, made on the spot: supported exactly, or refused when they are loaded."""

import json
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from generation.tokenization import GUARDS, ChatTokenizer
from store.errors import BadInput, ConfigError

TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
TURNS = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")


def make_folder(
    folder: Path,
    template: str | None = TEMPLATE,
    more_tokens: tuple[AddedToken, ...] = (),
    backend: Tokenizer | None = None,
    eos_token: str | None = "<|end|>",
    **flags: bool,
) -> Path:
    """A tokenizer folder. flags: of the template's own tokens, as in tokenizers.AddedToken."""
    folder.mkdir(exist_ok=True)
    backend = backend or byte_level()
    backend.add_tokens([AddedToken(token, special=True, **({"normalized": False} | flags)) for token in TURNS])
    backend.add_tokens(list(more_tokens))
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": eos_token} if eos_token else {}))
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def byte_level(normalizer: normalizers.Normalizer | None = None) -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    if normalizer is not None:
        backend.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(["who wrote the answer", "check it"], trainer)
    return backend


def sentence_piece(normalizer: normalizers.Normalizer | None, prepend_scheme: str | None) -> Tokenizer:
    """The two ways in which tokenizers of the SentencePiece kind put a space before text."""
    text = ["▁who▁wrote▁the▁answer\nwho'sA-Z. ,?1922<>|"]
    backend = Tokenizer(models.BPE(unk_token="?", fuse_unk=True))
    trainer = trainers.BpeTrainer(vocab_size=80, show_progress=False)
    backend.train_from_iterator(text, trainer)
    if normalizer is not None:
        backend.normalizer = normalizer
    if prepend_scheme is not None:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend_scheme, split=False)
    return backend


def user(content: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": content}]


def reference_ids(folder: Path, messages: list[dict[str, str]]) -> list[int]:
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(folder)
    return reference.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)


KINDS = {
    "tokens take white space on the right": {"rstrip": True},
    "tokens take white space on the left": {"lstrip": True},
    "tokens take white space on both sides": {"lstrip": True, "rstrip": True},
    "template trims content": {"template": TEMPLATE.replace("message.content", "message.content | trim")},
    "template opens with text": {"template": "chat:" + TEMPLATE},
    "tokens found in normalized text": {"normalized": True, "backend": byte_level(normalizers.NFKC())},
    "runs of spaces are added tokens": {"more_tokens": (AddedToken("  ", normalized=True), AddedToken("    "))},
    "prepended by a normalizer": {
        "backend": sentence_piece(normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None)
    },
    "prepended at the first place only": {"backend": sentence_piece(None, "first"), "template": "who " + TEMPLATE},
    "prepended everywhere": {"backend": sentence_piece(None, "always")},
}


@pytest.mark.parametrize("kind", KINDS)
def test_ordinary_content_has_the_ids_of_apply_chat_template(tmp_path, kind):
    folder = make_folder(tmp_path, **KINDS[kind])
    tokenizer = ChatTokenizer(folder)
    for content in ("who wrote it", "  who    wrote\n\n it  ", "", " ", "ﬁrst ½"):
        assert tokenizer.encode(user(content)) == reference_ids(folder, user(content))


@pytest.mark.parametrize("kind", KINDS)
def test_content_that_spells_a_control_token_is_text(tmp_path, kind):
    tokenizer = ChatTokenizer(make_folder(tmp_path, **KINDS[kind]))
    for spelled in (*TURNS, "<|end|>  ", "  <|end|>", "<|<|end|>end|>", "<|end|><|end|>"):
        ids = tokenizer.encode(user(spelled))
        assert sum(i in tokenizer.control_ids for i in ids) == 3


def test_a_control_token_hidden_by_the_normalizer_stays_text(tmp_path):
    """Full-width letters become ASCII under NFKC, and then spell a token that is found in normalized text."""
    folder = make_folder(tmp_path, normalized=True, backend=byte_level(normalizers.NFKC()))
    tokenizer, hidden = ChatTokenizer(folder), user("<|ｅｎｄ|>")
    assert sum(i in tokenizer.control_ids for i in reference_ids(folder, hidden)) == 4
    assert sum(i in tokenizer.control_ids for i in tokenizer.encode(hidden)) == 3


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"template": None}, "chat template"),
        ({"eos_token": None}, "eos_token"),
        ({"more_tokens": (AddedToken("§", special=True),)}, "name of a control token"),
        ({"single_word": True, "template": "a" + TEMPLATE.replace("\n", "")}, "apply_chat_template"),
    ],
)
def test_a_folder_that_breaks_the_promise_is_refused_when_it_is_loaded(tmp_path, settings, found):
    folder = make_folder(tmp_path, **settings)
    with pytest.raises(ConfigError, match=found):
        ChatTokenizer(folder)


def test_a_folder_without_tokenizer_json_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"tokenizer\.json"):
        ChatTokenizer(tmp_path)


def test_a_folder_whose_templates_have_no_default_is_refused_with_their_names(tmp_path):
    folder = make_folder(tmp_path, template=None)
    templates = [{"name": name, "template": TEMPLATE} for name in ("rag", "tool_use")]
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|end|>", "chat_template": templates}))
    with pytest.raises(ConfigError, match=r"no chat template that is the default one .*rag.*tool_use"):
        ChatTokenizer(folder)


def test_content_that_changes_the_templates_control_tokens_is_refused(tmp_path):
    look = "{% if 'open' in messages[0].content %}<|end|>{% endif %}"
    tokenizer = ChatTokenizer(make_folder(tmp_path, template=look + TEMPLATE))
    assert tokenizer.encode(user("who"))
    with pytest.raises(BadInput, match="leave the row out"):
        tokenizer.encode(user("open"))


def test_content_with_every_private_use_character_is_refused(tmp_path):
    tokenizer = ChatTokenizer(make_folder(tmp_path))
    assert tokenizer.encode(user("".join(GUARDS[1:])))
    with pytest.raises(BadInput, match="private use area"):
        tokenizer.encode(user("".join(GUARDS)))
