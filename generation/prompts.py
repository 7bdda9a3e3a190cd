"""Chat messages for a question: what the model is asked first, and asked again with its own initial answer.

A preset (conf/prompt/) is text with the placeholders `{question}` and `{initial_answer}`, or `{answers}` where a
correction reads several (prompt.num_answers). They are filled in one pass, so a question that contains
`{initial_answer}`, or any brace, stays what it is.
"""

import re
from collections.abc import Sequence

from conf.schema import Message, Prompt, Verdict
from store.chat import ChatMessages
from store.errors import ConfigError
from store.thinking import without_thinking

PLACEHOLDER = re.compile(r"\{(question|initial_answer|answers)\}")


def initial_messages(prompt: Prompt, question: str) -> ChatMessages:
    """Return the chat that asks for an initial answer y1 ~ M(x)."""
    return _fill(prompt.initial, {"question": question})


def correction_messages(prompt: Prompt, question: str, *initial_answers: str) -> ChatMessages:
    """Return the chat that asks for a correction y2 ~ M(x, y1), or y2 ~ M(x, y1_1 .. y1_k). Initial answers are raw
    text, possibly empty; what a model thinks before it answers is left out."""
    answers = list(map(without_thinking, initial_answers))
    numbered = "\n".join(f"{number}. {answer}" for number, answer in enumerate(answers, 1))
    return _fill(prompt.correction, {"question": question, "initial_answer": answers[0], "answers": numbered})


def check_prompt(prompt: Prompt) -> None:
    """Raise ConfigError, naming the key, for a preset that cannot ask what its stage is about."""
    _check_chat("prompt.initial", prompt.initial, needs={"question"}, marker=prompt.answer_marker)
    answers = "initial_answer" if prompt.num_answers == 1 else "answers"
    _check_chat("prompt.correction", prompt.correction, needs={"question", answers}, marker=prompt.answer_marker)
    if prompt.verdict is not None:
        _check_verdict(prompt.correction, prompt.verdict)


def _fill(messages: Sequence[Message], values: dict[str, str]) -> ChatMessages:
    return [{"role": m.role, "content": PLACEHOLDER.sub(lambda match: values[match[1]], m.content)} for m in messages]


def _check_verdict(messages: Sequence[Message], verdict: Verdict) -> None:
    shown = " ".join(message.content for message in messages)
    for key, word in verdict.model_dump().items():
        if not re.search(rf"\b{re.escape(word)}\b", shown):
            raise ConfigError(
                f"prompt.verdict.{key} is {word!r}, which no message of prompt.correction shows: name it there"
            )
    if verdict.keep.casefold() == verdict.replace.casefold():
        raise ConfigError(f"prompt.verdict.keep and prompt.verdict.replace are both {verdict.keep!r}: give two words")


def _check_chat(key: str, messages: Sequence[Message], needs: set[str], marker: str | None) -> None:
    found = {name for message in messages for name in PLACEHOLDER.findall(message.content)}
    if found != needs:
        expected = " and ".join(f"{{{name}}}" for name in sorted(needs, reverse=True))
        shown = ", ".join(f"{{{name}}}" for name in sorted(found, reverse=True)) or "none"
        raise ConfigError(f"{key} has the placeholders {shown}; expected {expected} and no other: edit the preset")
    if messages[-1].role != "user":
        raise ConfigError(f"{key}.{len(messages) - 1}.role is {messages[-1].role}; the last message must be the user's")
    if marker is not None and not any(marker and marker in message.content for message in messages):
        raise ConfigError(
            f"prompt.answer_marker is {marker!r}, which no message of {key} shows the model: name it there, or "
            "set prompt.answer_marker=null"
        )
