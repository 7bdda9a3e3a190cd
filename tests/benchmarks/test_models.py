"""Vocabularies and templates as packages hold them, written into a folder that the tokenization reads; no network."""

import json
from dataclasses import dataclass

import pytest
from tokenizers import Tokenizer

from benchmarks.models.__main__ import COLUMNS, table, unlike
from benchmarks.models.families import FAMILIES, TINY, Family
from benchmarks.models.tiny import make_model
from benchmarks.models.vocabularies import Member, Vocabulary, published_template
from generation.tokenization import ChatTokenizer
from tests.generation.test_tokenization_folders import TEMPLATE, byte_level

LIBRARY = """
\t{
\t\tmodel: "library/one:1b",
\t\tgguf: "other",
\t},
\t{
\t\tmodel: "library/two:2b",
\t\tgguf: "{% for m in messages %}\\n\\"quoted\\"{% endfor %}",
\t},
"""


@dataclass(frozen=True)
class Kept:
    """A package that is a dictionary: {member: content}."""

    name: str
    files: tuple[tuple[str, str], ...]

    def read(self, member, cache):
        return dict(self.files)[member].encode()


def test_a_template_is_picked_by_name_from_a_file_of_many(tmp_path):
    package = Kept("templates@1", (("all.ts", LIBRARY), ("one.jinja", "{{ x }}")))
    member = Member(package, "all.ts", "library/two:2b")
    assert published_template(member, tmp_path) == '{% for m in messages %}\n"quoted"{% endfor %}'
    assert published_template(Member(package, "one.jinja"), tmp_path) == "{{ x }}"


@pytest.fixture
def family():
    """A family whose control tokens are named by id: one in place of another, others behind a gap."""
    backend = byte_level()
    backend.add_special_tokens(["<|reserved|>", "<|kept|>"])
    size, reserved = backend.get_vocab_size(), backend.token_to_id("<|reserved|>")
    package = Kept("tokenizer@2", (("tokenizer.json", backend.to_str()), ("template.jinja", TEMPLATE)))
    turns = {reserved: "<|end|>", size + 5: "<|user|>", size + 6: "<|assistant|>", size + 7: "<|system|>"}
    vocabulary = Vocabulary(Member(package, "tokenizer.json"), tokens={"eos_token": "<|end|>"}, named=turns)
    config = dict(model_type="llama", vocab_size=512, max_position_embeddings=128, tie_word_embeddings=True)
    return Family("Tiny", config, vocabulary, ("<|end|>",), Member(package, "template.jinja"))


def test_a_folder_has_the_familys_tokens_at_its_ids(family, tmp_path):
    folder = make_model(family, tmp_path / "model", tmp_path)
    tokenizer = ChatTokenizer(folder)
    ids = tokenizer.encode([{"role": "user", "content": "who <|reserved|>?"}])
    named = family.vocabulary.named
    assert [named[i] for i in ids if i in tokenizer.control_ids] == ["<|user|>", "<|end|>", "<|assistant|>"]
    assert set(named) <= tokenizer.control_ids
    spec = json.loads((folder / "tokenizer.json").read_text())
    loaded = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert [loaded.token_to_id(token["content"]) for token in spec["added_tokens"]] == [
        token["id"] for token in spec["added_tokens"]
    ]
    assert next(i for i, content in named.items() if content == "<|end|>") in tokenizer.stop_token_ids
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"] and config["hidden_size"] == TINY["hidden_size"]


def test_an_untrained_or_differing_checkpoint_is_called_that(family, tmp_path):
    base = make_model(family, tmp_path / "base", tmp_path)
    assert unlike(base, base) == ", nothing changed"
    other = Family("Other", family.config | {"intermediate_size": 64}, family.vocabulary, family.stops, family.template)
    assert unlike(base, make_model(other, tmp_path / "other", tmp_path)) == ", of other tensors"


def test_every_family_has_a_name_of_its_own_and_a_row(tmp_path, monkeypatch):
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    monkeypatch.setattr("benchmarks.models.__main__.RESULTS", tmp_path)
    (tmp_path / f"{names[1]}.json").write_text(json.dumps(dict.fromkeys(COLUMNS, "a|b")))
    assert table().splitlines()[2:] == ["| " + " | ".join(["a\\|b"] * len(COLUMNS)) + " |"]
