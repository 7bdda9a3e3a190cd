"""What every stage must know alike about a model's chats: how its template is used, and what ends an answer."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from store.errors import ConfigError
from store.shards import read_object

ChatMessages = list[dict[str, str]]

# Some templates print the date; a chat must not depend on the day.
FIXED_ARGS = {"strftime_now": date(2025, 1, 1).strftime}


class ChatTemplate:
    """The chat template of a tokenizer, given chats of any kind of turns.

    tokenizer: a transformers tokenizer. args: the template's own arguments (`model.template_args`). Where the template
    takes no system turn (it raises, or writes nothing of it), that turn's text opens the first user turn; where it
    takes content as a list of parts, text is given as one part. ConfigError for a template that cannot render a chat.
    """

    def __init__(self, tokenizer: Any, model_dir: Path, args: dict[str, Any]) -> None:
        self._tokenizer, self._model_dir = tokenizer, model_dir
        self._args = FIXED_ARGS | args
        self._wants_parts = False
        if not self._writes(["user"]):
            self._wants_parts = True
            if not self._writes(["user"]):
                self._wants_parts = False
                self.check(["user"])
        self.takes_system = self._writes(["system", "user"])

    def render(self, messages: ChatMessages, add_generation_prompt: bool = True) -> str:
        """Return the chat's text; ConfigError, with the template's own words, when the template does not take it."""
        try:
            return self._render(messages, add_generation_prompt)
        except Exception as error:  # a template is a program of the model's author's, it may raise anything
            raise ConfigError(self._refusal(error, [message["role"] for message in messages])) from error

    def check(self, roles: Sequence[str]) -> None:
        """Raise ConfigError unless a chat of these turns has the text of each of them."""
        messages = marked_turns(roles)
        text = self.render(messages)
        lost = [message["role"] for message in messages if message["content"] not in text]
        if lost:
            raise ConfigError(
                f"the chat template of {self._model_dir} writes nothing of the {', '.join(lost)} turn in a chat of "
                f"{', '.join(roles)}: choose a prompt preset with other roles (prompt=), or another model"
            )

    def adapted(self, messages: ChatMessages) -> list[dict[str, Any]]:
        """Return the messages as the template takes them."""
        if messages and messages[0]["role"] == "system" and not self.takes_system:
            messages = with_system_in_first_user_turn(messages)
        if not self._wants_parts:
            return messages
        return [m | {"content": [{"type": "text", "text": m["content"]}]} for m in messages]

    def _writes(self, roles: Sequence[str]) -> bool:
        self.takes_system = True  # what is being found out
        messages = marked_turns(roles)
        try:
            text = self._render(messages, add_generation_prompt=True)
        except Exception:  # said by `check` when it matters
            return False
        return all(message["content"] in text for message in messages)

    def _render(self, messages: ChatMessages, add_generation_prompt: bool) -> str:
        return self._tokenizer.apply_chat_template(
            self.adapted(messages), tokenize=False, add_generation_prompt=add_generation_prompt, **self._args
        )

    def _refusal(self, error: Exception, roles: Sequence[str]) -> str:
        from jinja2 import TemplateSyntaxError

        template = f"the chat template of {self._model_dir}"
        if isinstance(error, TemplateSyntaxError):
            return f"{template} is no valid Jinja (line {error.lineno}: {error}): download the model again"
        return (
            f"{template} does not take the turns {', '.join(roles)} ({type(error).__name__}: {error}): choose a prompt "
            "preset with other roles (prompt=), set model.template_args if it asks for an argument, or choose another "
            "model"
        )


def marked_turns(roles: Sequence[str]) -> ChatMessages:
    """Return a chat of these roles in which every turn can be recognized."""
    return [{"role": role, "content": f"turn{number}text"} for number, role in enumerate(roles)]


def with_system_in_first_user_turn(messages: ChatMessages) -> ChatMessages:
    """Return the messages without their first, system, turn; its text opens the first user turn."""
    system, *others = messages
    first = next((i for i, message in enumerate(others) if message["role"] == "user"), None)
    if first is None:
        return messages
    others[first] = others[first] | {"content": f"{system['content']}\n\n{others[first]['content']}"}
    return others


def stop_token_ids(folder: Path, sampling_args: dict[str, Any]) -> tuple[int, ...]:
    """Return the ids that end an answer, sorted: the tokenizer's eos token, eos_token_id of generation_config.json (of
    config.json where there is no such file), and sampling.args.stop_token_ids.

    ConfigError for a folder that names none, and for a setting that is no list of ids.
    """
    given = sampling_args.get("stop_token_ids", [])
    if not isinstance(given, list) or not all(isinstance(token, int) and token >= 0 for token in given):
        raise ConfigError(
            f"sampling.args.stop_token_ids={given}: a list of token ids was expected, [128009] for example"
        )
    generation_config = folder / "generation_config.json"
    listed = _eos_of(generation_config if generation_config.is_file() else folder / "config.json")
    ids = {_eos_of_tokenizer(folder), *listed, *given} - {None}
    if not ids:
        raise ConfigError(
            f"{folder} names no token that ends an answer: set eos_token in tokenizer_config.json or eos_token_id "
            "in generation_config.json, or give sampling.args.stop_token_ids=[<id>]"
        )
    return tuple(sorted(ids))


def _eos_of(path: Path) -> list[int]:
    if not path.is_file():
        return []
    values = read_object(path)
    listed = values.get("eos_token_id")
    if listed is None:
        listed = (values.get("text_config") or {}).get("eos_token_id")
    return listed if isinstance(listed, list) else [] if listed is None else [listed]


def _eos_of_tokenizer(folder: Path) -> int | None:
    token = None
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if token is None and (folder / name).is_file():
            token = read_object(folder / name).get("eos_token")
    if token is None:
        return None
    content = token["content"] if isinstance(token, dict) else token
    spec = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    for added in spec["added_tokens"]:
        if added["content"] == content:
            return added["id"]
    vocabulary = spec["model"]["vocab"]
    if isinstance(vocabulary, dict):
        return vocabulary.get(content)
    return next((i for i, (piece, _) in enumerate(vocabulary) if piece == content), None)  # Unigram: a list of pairs
