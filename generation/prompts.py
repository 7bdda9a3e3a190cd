"""Chat messages for a question: what the model is asked first, and asked again with its own initial answer.

A preset (conf/prompt/) is text with the placeholders `{question}` and `{initial_answer}`, or `{answers}` where a
correction reads several (prompt.num_answers), and `{column}` for each of prompt.columns. They are filled in one pass,
so a question that contains `{initial_answer}`, or any brace, stays what it is.
"""

import json
import re
from collections.abc import Mapping, Sequence

from conf.schema import Message, Prompt, Verdict
from store.chat import ChatMessages
from store.errors import ConfigError
from store.thinking import without_thinking

FILLED = ("question", "initial_answer", "answers")
LETTER = "[A-Za-z0-9_À-ӿ]"  # of scripts with spaces between words
Row = Mapping[str, str]


def initial_messages(prompt: Prompt, question: str | Row) -> ChatMessages:
    """Return the chat that asks for an initial answer y1 ~ M(x). question: its text, or with prompt.columns its row."""
    return _fill(prompt, prompt.initial, texts_of(prompt, question))


def correction_messages(prompt: Prompt, question: str | Row, *initial_answers: str) -> ChatMessages:
    """Return the chat that asks for a correction y2 ~ M(x, y1), or y2 ~ M(x, y1_1 .. y1_k). Initial answers are raw
    text, possibly empty; what a model thinks before it answers is left out."""
    answers = list(map(without_thinking, initial_answers))
    numbered = "\n".join(f"{number}. {answer}" for number, answer in enumerate(answers, 1))
    texts = texts_of(prompt, question) | {"initial_answer": answers[0], "answers": numbered}
    return _fill(prompt, prompt.correction, texts)


def shown(value: str) -> str:
    """Return a further column's value, which is JSON, as a prompt shows it: a text as it is, a list of them one a line,
    nothing for null, anything else as JSON."""
    read = json.loads(value)
    if isinstance(read, list) and all(isinstance(item, str) for item in read):
        return "\n".join(read)
    return read if isinstance(read, str) else "" if read is None else value


def placeholders(prompt: Prompt) -> re.Pattern[str]:
    """Return the pattern of what is filled in."""
    return re.compile(rf"\{{({'|'.join((*FILLED, *prompt.columns))})\}}")


def check_prompt(prompt: Prompt) -> None:
    """Raise ConfigError, naming the key, for a preset that cannot ask what its stage is about."""
    _check_chat("prompt.initial", prompt, prompt.initial, needs={"question"})
    answers = "initial_answer" if prompt.num_answers == 1 else "answers"
    _check_chat("prompt.correction", prompt, prompt.correction, needs={"question", answers})
    text = "".join(message.content for message in (*prompt.initial, *prompt.correction))
    if unseen := [name for name in prompt.columns if f"{{{name}}}" not in text]:
        raise ConfigError(f"prompt.columns takes {unseen[0]}, and no message shows {{{unseen[0]}}}: edit the preset")
    if prompt.verdict is not None:
        _check_verdict(prompt.correction, prompt.verdict)


def texts_of(prompt: Prompt, question: str | Row) -> dict[str, str]:
    """Return what goes into a prompt of a question: its text, or of its row the text and prompt.columns."""
    if isinstance(question, str):
        return {"question": question}
    return {"question": question["question"]} | {name: shown(question[name]) for name in prompt.columns}


def _fill(prompt: Prompt, messages: Sequence[Message], values: dict[str, str]) -> ChatMessages:
    pattern = placeholders(prompt)
    return [{"role": m.role, "content": pattern.sub(lambda match: values[match[1]], m.content)} for m in messages]


def _check_verdict(messages: Sequence[Message], verdict: Verdict) -> None:
    shown = " ".join(message.content for message in messages)
    for key, word in verdict.model_dump().items():
        if not re.search(rf"(?<!{LETTER}){re.escape(word)}(?!{LETTER})", shown):
            raise ConfigError(
                f"prompt.verdict.{key} is {word!r}, which no message of prompt.correction shows: name it there"
            )
    if verdict.keep.casefold() == verdict.replace.casefold():
        raise ConfigError(f"prompt.verdict.keep and prompt.verdict.replace are both {verdict.keep!r}: give two words")


def _check_chat(key: str, prompt: Prompt, messages: Sequence[Message], needs: set[str]) -> None:
    marker, pattern = prompt.answer_marker, placeholders(prompt)
    found = {name for message in messages for name in pattern.findall(message.content)} - set(prompt.columns)
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
