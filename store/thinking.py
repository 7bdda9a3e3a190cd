"""What a model answers, apart from what it thinks: some models spell out their thoughts before the answer.

The thoughts stay in `text`; what is scored, compared with the initial answer, or shown to the model again is the
answer. A text without any of these marks is its own answer, to the last character.
"""

import re

# <think>, <thinking> (and their like) and Magistral's [THINK], opened or closed
MARK = re.compile(r"<(?P<closed>/?)(?:think|thinking|thought|reasoning)>|\[(?P<closed_caps>/?)THINK\]")
FINAL_CHANNEL = "<|channel|>final<|message|>"  # gpt-oss: every other channel is thinking
CHANNEL = "<|channel|>"
ANSWER, ANSWER_END = "<answer>", "</answer>"
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
    elif marks := list(MARK.finditer(text)):
        answer = text[marks[-1].end() :] if is_closing(marks[-1]) else ""
    if ANSWER in answer:
        answer = answer.rpartition(ANSWER)[2].partition(ANSWER_END)[0]
    return text if answer is text else answer.strip()


def opened_thought(text: str) -> str:
    """Return the mark with which `text` opens a thought that it does not close, with what follows it; else ""."""
    marks = list(MARK.finditer(text))
    return "" if not marks or is_closing(marks[-1]) else text[marks[-1].start() :]


def is_closing(mark: re.Match[str]) -> bool:
    return bool(mark["closed"] or mark["closed_caps"])
