"""Chat messages to token ids, where message content is always text.

A control token enters a prompt through the chat template alone: a question that spells `<|im_end|>` gives the ids of
its characters. For content that spells none, the ids are those of `apply_chat_template`. Control tokens are the added
tokens that are special, that the template can write, or that look like one (`<|fim_prefix|>`); other added tokens, such
as Gemma's runs of blanks and HTML tags, are ordinary vocabulary.

How: in the content, every spelled control token is taken apart by a guard, a character that occurs nowhere else. The
template is rendered, and control tokens that are whole in the result are its own. The guard is dropped by the
tokenizer's normalizer, which sees only the text between control tokens, after these have been found.
"""

import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, normalizers

from store.chat import ChatMessages, ChatTemplate, marked_turns, stop_token_ids
from store.errors import BadInput, ConfigError
from store.thinking import KEPT_WHEN_DECODED, MARK, opened_thought

GUARDS = [chr(code) for code in range(0xE000, 0xF900)]  # the private use area, which ordinary text does not use
NUM_NAMED = 8  # ids that a message names
LOOKS_LIKE_CONTROL = re.compile(r"<[|｜].*[|｜]>")
# What every chat has, with the white space that templates and tokenizers are known to treat specially.
PROBE = [
    {"role": "user", "content": "  Who wrote 'Ulysses',\n\n  and in which year? "},
    {"role": "assistant", "content": " James Joyce, 1922.\n"},
    {"role": "user", "content": "\nCheck it."},
]


class ChatTokenizer:
    """The tokenizer and the chat template of a model folder.

    template_args, sampling_args: `model.template_args` and `sampling.args` of the configuration. control_ids: ids that
    content never produces. stop_token_ids: ids that end a completion, sorted. takes_system: whether a system turn is
    one, or opens the first user turn. Raises ConfigError for a folder without
    tokenizer.json or chat template, and for a tokenizer with which the promises above do not hold, or with which no
    answer would end as the template ends one (this is checked on loading).
    """

    def __init__(
        self,
        model_dir: Path,
        template_args: dict[str, Any] | None = None,
        sampling_args: dict[str, Any] | None = None,
    ) -> None:
        self._model_dir = model_dir
        self._tokenizer, self._template = _load(model_dir)
        self._chat = ChatTemplate(self._tokenizer, model_dir, template_args or {})
        written = self._template + self._chat.render([{"role": "system", "content": "Be brief."}, *PROBE])
        added = self._tokenizer.added_tokens_decoder
        special = {token.content for token in added.values() if token.special}
        control = {i: token for i, token in added.items() if _is_control(token.content, special, written)}
        self.control_ids = frozenset(control)
        self.takes_system = self._chat.takes_system
        self.stop_token_ids = stop_token_ids(model_dir, sampling_args or {})
        # Special tokens that mark what is thinking: decoding keeps them.
        self._kept = {i: t.content for i, t in control.items() if t.special and KEPT_WHEN_DECODED.fullmatch(t.content)}

        self._backend = _found_before_normalizing(self._tokenizer.backend_tokenizer, self.control_ids)
        self._normalizer = self._backend.normalizer
        self._guard = ""
        spellings = sorted((t.content for t in control.values()), key=len, reverse=True)  # the longest match wins
        self._control = re.compile("|".join(map(re.escape, spellings)))
        self._no_guard = set(self._template).union(*spellings)
        # A token that takes white space on its left with it (lstrip) must stay in one piece with that.
        self._boundaries = {t.content for t in control.values() if not t.lstrip}

        self._chunk_ids = lru_cache(maxsize=1 << 14)(self._encode_chunk)
        self._control_ids_of_template = lru_cache(self._encode_template)
        self._check(spellings)
        self._check_stop_token()
        question = marked_turns(["user"])
        begun = self._chat.render(question).rpartition(question[0]["content"])[2]  # what an answer begins with
        self.opened_thought = opened_thought(begun)
        # By its template: it opens a thought, or it has the switch for it and did not write an empty one.
        self.thinks = bool(self.opened_thought) or ("enable_thinking" in self._template and not MARK.search(begun))

    def encode(self, messages: ChatMessages) -> list[int]:
        """Return a prompt's token ids; the assistant's turn stands open at its end.

        BadInput when content changes which control tokens the template writes. ConfigError when the template does
        not take the roles, or leaves out the text of one.
        """
        token_ids = self._encode(messages)
        found = [i for i in token_ids if i in self.control_ids]
        expected = self._control_ids_of_template(*(message["role"] for message in messages))
        if found != expected:
            raise BadInput(
                f"with these messages the chat template of {self._model_dir} writes the control tokens {found}, with "
                f"plain words {expected}: leave the row out, or choose a model whose template does not look at content"
            )
        return token_ids

    def count(self, texts: list[str]) -> list[int]:
        """Return how many tokens each text has by itself."""
        return list(map(len, map(self.begun_with, texts)))

    def begun_with(self, text: str) -> list[int]:
        """Return the token ids of a text by itself, as an answer begins with it."""
        return self._backend.encode(text, add_special_tokens=False).ids

    def decode(self, token_ids: list[int]) -> str:
        """Return a completion's text, without special tokens; bytes that are no UTF-8 become U+FFFD.

        Marks of thinking are in it: those that are special tokens, and the one with which the prompt ends where the
        template opens a thought, so that a text always says what of it is thought (store.thinking).
        """
        pieces, start = [self.opened_thought], 0
        for end, token in enumerate(token_ids):
            if token in self._kept:
                pieces += [self._backend.decode(token_ids[start:end], skip_special_tokens=True), self._kept[token]]
                start = end + 1
        return "".join([*pieces, self._backend.decode(token_ids[start:], skip_special_tokens=True)])

    def _encode(self, messages: ChatMessages) -> list[int]:
        text = "".join(message["content"] for message in messages)
        guard = next((c for c in GUARDS if c not in text and c not in self._no_guard), None)
        if guard is None:
            raise BadInput("a message has all 6,400 characters of the private use area: leave the row out")

        def take_apart(spelled: re.Match[str]) -> str:
            return guard.join(spelled[0]) + guard

        guarded = [m | {"content": self._control.sub(take_apart, m["content"])} for m in messages]
        return [i for chunk in self._chunks(self._chat.render(guarded)) for i in self._chunk_ids(chunk, guard)]

    def _chunks(self, rendered: str) -> Iterator[str]:
        """Return a rendered chat cut before its control tokens. Tokenizers never look across one, so that chunks can be
        encoded one by one; in a prompt few are new, those with the question and the initial answer."""
        cuts = [m.start() for m in self._control.finditer(rendered) if m[0] in self._boundaries]
        return (rendered[start:stop] for start, stop in pairwise([0, *cuts, len(rendered)]) if start < stop)

    def _encode_chunk(self, chunk: str, guard: str) -> tuple[int, ...]:
        if guard != self._guard:
            steps = [normalizers.Replace(guard, ""), self._normalizer]
            self._backend.normalizer = normalizers.Sequence([step for step in steps if step is not None])
            self._guard = guard
        return tuple(self._backend.encode(chunk, add_special_tokens=False).ids)

    def _encode_template(self, *roles: str) -> list[int]:
        self._chat.check(roles)
        token_ids = self._encode(marked_turns(roles))
        return [i for i in token_ids if i in self.control_ids]

    def _check(self, spellings: list[str]) -> None:
        found = self._encode(PROBE)
        expected = self._tokenizer(self._chat.render(PROBE), add_special_tokens=False)["input_ids"]
        if found != expected:
            raise ConfigError(
                f"{self._model_dir}: this kind of tokenizer is not supported; a plain chat has the ids {found}, "
                f"where apply_chat_template gives {expected}: choose another model"
            )
        try:
            self.encode([{"role": "user", "content": " ".join(spellings)}])
        except BadInput as error:
            raise ConfigError(
                f"{self._model_dir}: this kind of tokenizer is not supported; it cannot read the name of a control "
                "token as text: choose another model"
            ) from error

    def _check_stop_token(self) -> None:
        """Raise ConfigError when the template ends an answer with a control token that does not end a completion: the
        model was taught to write that one, so that every answer would fill its budget."""
        roles = ["user", "assistant", "user"]
        self._chat.check(roles)
        turns = marked_turns(roles)
        text = self._chat.render(turns)
        behind = text[text.rindex(turns[1]["content"]) : text.rindex(turns[2]["content"])]
        if (end := self._control.search(behind)) is None:
            return
        (token_id,) = {i for i, t in self._tokenizer.added_tokens_decoder.items() if t.content == end[0]}
        if token_id not in self.stop_token_ids:
            raise ConfigError(
                f"{self._model_dir}: its chat template ends an answer with {end[0]} (id {token_id}), and generation "
                f"would stop only at the ids {shortened(self.stop_token_ids)}, by tokenizer_config.json and "
                "generation_config.json (config.json where that is missing): no answer would end before "
                f"sampling.max_tokens. Give +sampling.args.stop_token_ids=[{token_id}], or use the instruction-tuned "
                "model with its generation_config.json"
            )


def _is_control(content: str, special: set[str], written: str) -> bool:
    """Whether an added token is one that only the template may write: a special one or its closing tag (Phi-3's </s>),
    one that looks like it, or one in `written`, all that the template is known to write."""
    if not content.strip(" \t\r\n\u2581"):
        return False
    of_special = content in special or content.replace("</", "<", 1) in special
    return of_special or content in written or LOOKS_LIKE_CONTROL.fullmatch(content) is not None


def shortened(ids: Sequence[int]) -> str:
    """'[2, 7]', of long lists the first and how many more."""
    more = f" and {len(ids) - NUM_NAMED:,} more" if len(ids) > NUM_NAMED else ""
    return f"{list(ids[:NUM_NAMED])}{more}"


def _load(model_dir: Path) -> tuple[Any, str]:
    """Return transformers' view of a folder (tokenizer.json, named special tokens added), and its template."""
    if not (model_dir / "tokenizer.json").is_file():
        raise ConfigError(
            f"{model_dir} has no tokenizer.json: save one with "
            f"AutoTokenizer.from_pretrained(...).save_pretrained({str(model_dir)!r})"
        )
    from transformers import PreTrainedTokenizerFast  # 0.5 s; unlike AutoTokenizer it does not import torch

    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(model_dir, local_files_only=True)
    except Exception as error:  # the library raises bare ones
        if isinstance(error, OSError) and error.errno is not None:  # the disk is at fault, not the file: exit code 74
            raise
        raise ConfigError(
            f"{model_dir / 'tokenizer.json'} cannot be read ({type(error).__name__}: {error}): download the model again"
        ) from error
    try:
        return tokenizer, tokenizer.get_chat_template()
    except ValueError as error:
        raise ConfigError(
            f"{model_dir} has no chat template that is the default one (chat_template.jinja, or chat_template in "
            f"tokenizer_config.json; transformers says: {error}): choose an instruction-tuned model, or put one there"
        ) from error


def _found_before_normalizing(backend: Tokenizer, control_ids: frozenset[int]) -> Tokenizer:
    """Return a copy that finds control tokens in raw text only: one in normalized text would no longer be guarded."""
    spec = json.loads(backend.to_str()) | {"truncation": None, "padding": None}
    for token in spec["added_tokens"]:
        token["normalized"] &= token["id"] not in control_ids
    return Tokenizer.from_str(json.dumps(spec))
