"""What a model answers, apart from what it thinks: some models spell out their thoughts before the answer.

The thoughts stay in `text`; what is scored, compared with the initial answer, or shown to the model again is the
answer. A text without any of these marks is its own answer, to the last character.
"""

import re
from collections.abc import Iterable

# <think>, <thinking> (and their like), Magistral's [THINK], Kimi's, Cohere's and OpenThinker's; a group says it closes
MARK = re.compile(
    r"<(/?)(?i:think|thinking|thought|reasoning)>|\[(/?)THINK\]|◁(/?)think▷"
    r"|<\|(?:START|(END))_THINKING\|>|<\|(?:begin|(end))_of_thought\|>"
)
FINAL_CHANNEL = "<|channel|>final<|message|>"  # gpt-oss: every other channel is thinking
CHANNEL = "<|channel|>"
# The same decoded without its control tokens, where the names of the channels remain: "analysisThe user asks ..."
BARE_CHANNEL = re.compile(r"analysis(?=[A-Z])")
BARE_FINAL_CHANNEL = "assistantfinal"
ANSWER, ANSWER_END = "<answer>", "</answer>"
# One of these is found in "\n" and a text that is not its own answer, each at the speed of a search for its first sign.
HINTS = {
    "<": re.compile(r"<[/|]?(?i:thi|tho|rea|ans|cha|sta|end|beg)"),
    "[": re.compile(r"\[/?THINK"),
    "◁": re.compile("◁"),
}
BARE_HINT = "\nanalysis"
# Where a tokenizer has these as special tokens, a decoded text keeps them all the same.
KEPT_WHEN_DECODED = re.compile(rf"{MARK.pattern}|<\|channel\|>|<\|message\|>")


def without_thinking(text: str) -> str:
    """Return what stands behind the thoughts, and of that what is in the last <answer> tag if there is one.

    "" where a thought was left open (most often the token budget ended in it).
    """
    answer = text
    if CHANNEL in text:
        _, found, behind = text.rpartition(FINAL_CHANNEL)
        answer = behind if found else ""
    elif BARE_CHANNEL.match(text):
        _, found, behind = text.rpartition(BARE_FINAL_CHANNEL)
        answer = behind if found else ""
    elif marks := _marks(text):
        answer = text[marks[-1].end() :] if is_closing(marks[-1]) else ""
    if ANSWER in answer:
        answer = answer.rpartition(ANSWER)[2].partition(ANSWER_END)[0]
    return text if answer is text else answer.strip()


def all_without_thinking(texts: Iterable[str]) -> list[str]:
    """Return without_thinking of every text, at once where no text has a hint of a mark."""
    texts = list(texts)
    together = "\n".join(["", *texts])
    has_mark = any(sign in together and hint.search(together) for sign, hint in HINTS.items())
    if not has_mark and BARE_HINT not in together:
        return texts
    return [without_thinking(text) for text in texts]


def opened_thought(text: str) -> str:
    """Return the mark with which `text` opens a thought that it does not close, with what follows it; else ""."""
    marks = _marks(text)
    return "" if not marks or is_closing(marks[-1]) else text[marks[-1].start() :]


def is_closing(mark: re.Match[str]) -> bool:
    return any(mark.groups())


def _marks(text: str) -> list[re.Match[str]]:
    return list(MARK.finditer(text)) if "<" in text or "[" in text or "◁" in text else []
