"""Tokenizers as the packages have them, written into a model folder together with the chat template."""

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.models.packages import Package


@dataclass(frozen=True)
class Member:
    """A file of a package; `key` picks one of the chat templates that a file holds."""

    package: Package
    path: str
    key: str = ""

    def read(self, cache: Path) -> bytes:
        """Return the file's content."""
        return self.package.read(self.path, cache)

    @property
    def source(self) -> str:
        """How the table names it."""
        return self.package.name


@dataclass(frozen=True)
class Vocabulary:
    """Where a tokenizer is from: tokenizer.json, a GGUF file with a vocabulary, or a SentencePiece model.

    config: the package's tokenizer_config.json. tokens: bos_token, eos_token, pad_token where that does not say.
    named: special tokens that the family has by id and the file does not.
    """

    file: Member
    config: Member | None = None
    tokens: dict[str, str] = field(default_factory=dict)
    named: dict[int, str] = field(default_factory=dict)

    def write(self, folder: Path, template: str | None, cache: Path) -> None:
        """Write tokenizer.json and tokenizer_config.json, with `template` in place of the package's own."""
        spec = self._spec(cache)
        for number, content in self.named.items():
            name_token(spec, number, content)
        config = json.loads(self.config.read(cache)) if self.config else {"tokenizer_class": "PreTrainedTokenizerFast"}
        config |= self.tokens
        if self.named:
            config.pop("added_tokens_decoder", None)  # names the old ones
        if template is not None:
            config["chat_template"] = template
        (folder / "tokenizer.json").write_text(json.dumps(spec, ensure_ascii=False), encoding="utf-8")
        (folder / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")

    def _spec(self, cache: Path) -> dict[str, Any]:
        content = self.file.read(cache)
        if self.file.path.endswith(".json"):
            return json.loads(content)
        from transformers import AutoTokenizer

        with tempfile.TemporaryDirectory() as name:
            if self.file.path.endswith(".gguf"):
                (Path(name) / "vocabulary.gguf").write_bytes(content)
                tokenizer = AutoTokenizer.from_pretrained(name, gguf_file="vocabulary.gguf")
            else:
                (Path(name) / "tokenizer.model").write_bytes(content)
                named = {"tokenizer_class": "LlamaTokenizer"} | self.tokens
                (Path(name) / "tokenizer_config.json").write_text(json.dumps(named), encoding="utf-8")
                tokenizer = AutoTokenizer.from_pretrained(name)
        return json.loads(tokenizer.backend_tokenizer.to_str())


def name_token(spec: dict[str, Any], number: int, content: str) -> None:
    """Give the token `number` of a tokenizer.json the name `content`, as a special token; a new one where there is
    none."""
    vocabulary, added = spec["model"]["vocab"], spec["added_tokens"]
    token = next((token for token in added if token["id"] == number), None)
    if token is None:
        token = {"id": number, **dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)}
        added.append(token)
        added.sort(key=lambda each: each["id"])
    vocabulary.pop(token.get("content"), None)
    token |= {"content": content, "special": True}
    vocabulary |= {each["content"]: each["id"] for each in added}  # one that is not in it is numbered by its place


def published_template(member: Member, cache: Path) -> str:
    """Return a chat template as published, from a file that is one or holds many by name."""
    content = member.read(cache).decode()
    if not member.key:
        return content
    _, _, behind = content.partition(f'model: "{member.key}"')
    line = next(line for line in behind.splitlines() if line.strip().startswith("gguf:"))
    return json.loads(line.strip().removeprefix("gguf:").strip().removesuffix(","))
