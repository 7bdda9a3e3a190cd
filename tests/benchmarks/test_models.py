"""Vocabularies and templates as packages hold them, written into a folder that the tokenization reads; no network."""

import json
from dataclasses import dataclass

import pytest
from tokenizers import Tokenizer

from benchmarks.models.__main__ import BEGIN, COLUMNS, END, published, unlike, write_table
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


def test_the_table_keeps_what_ran_elsewhere_and_takes_what_ran_here(tmp_path, monkeypatch):
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    page = tmp_path / "models.md"
    page.write_text(f"before\n{BEGIN}{END}after\n")
    monkeypatch.setattr("benchmarks.models.__main__.RESULTS", tmp_path)
    monkeypatch.setattr("benchmarks.models.__main__.TABLE", page)
    for name in (names[1], names[3]):
        cells = dict.fromkeys(COLUMNS, "") | {"family": name, "full": "<|x|> | y", "class": "A"}
        (tmp_path / f"{name}.json").write_text(json.dumps(cells))
    write_table()
    elsewhere = page.read_text()
    assert elsewhere.startswith(f"before\n{BEGIN}| family |") and elsewhere.endswith(f"{END}after\n")
    for name in (names[1], names[3]):
        (tmp_path / f"{name}.json").unlink()
    write_table()
    assert page.read_text() == elsewhere
    (tmp_path / f"{names[0]}.json").write_text(json.dumps({"family": names[0], "notes": "new"}))
    (tmp_path / f"{names[3]}.json").write_text(json.dumps({"family": names[3], "LoRA": "ran"}))
    write_table()
    rows = published()
    assert list(rows) == [names[0], names[1], names[3]]
    assert rows[names[0]]["notes"] == "new" and rows[names[0]]["full"] == "not run"
    assert rows[names[3]]["LoRA"] == "ran" and rows[names[3]]["class"] == "A" and rows[names[3]]["full"] == "<|x|> | y"
