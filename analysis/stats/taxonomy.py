"""What a correction does to its initial answer: one class for every pair, by rules on words alone.

Two texts are compared by their content words: lower case, without function words, a plural like its singular, a number
with its separators one word. Words of the question are no content, so "Paris" and "The capital of France is Paris" say
the same; only where a text consists of nothing else do they count ("red or blue?"). Where a text marks its answer ("the
answer is ...", "Final Answer: ..."), what follows the mark is the answer and the rest is rationale. The gold answer and
the reward do not matter: whether a change helps is the transition's affair.

Agreement with 190 pairs of a real run, labeled by hand before a rule was written: Cohen's kappa 0.81 on the half that
the rules were written with, 0.74 (79 % of the pairs) on the other half. Most disagreements are between rationale_only
and other_entity in long wrong answers, where what "the answer" is can be argued about.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

import pyarrow as pa

from store.thinking import all_without_thinking

CATEGORIES = {
    "unchanged": "The same text, character for character.",
    "refusal": "No answer: empty, says that it does not know or cannot tell, or only repeats the question.",
    "format_only": "The same content words: other case, punctuation, order or function words, or more of the question.",
    "rationale_only": "The answer stays and the words around it are others: the marked answers have the same content "
    "words; without marks, the initial answer's first content word stays while others come and go.",
    "number_or_date": "Another number, date or amount: numbers come and go, and nothing else does, or the question "
    "asks for one (when, how many, ...).",
    "added_detail": "All content words stay and others are added.",
    "removed_detail": "Content words are left out and none is added.",
    "other_entity": "Another answer: anything else.",
}

WORD = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+")
VERDICT = re.compile(r"\W*\w+\W*")  # the first word of a text, with the marks around it
MARK = re.compile(r"\banswer(?:\s*\*{0,2}:|\s+(?:is|was)\b:?)", re.IGNORECASE)
DECLINES = re.compile(
    r"\b(?:i|we)(?:\s+am|'m|\s+are|'re)\s+(?:\w+\s+)?(?:sorry|unable|not\s+(?:sure|able|aware|certain))\b"
    r"|\bi\s+(?:do\s+not|don't|cannot|can't|could\s+not|couldn't)\s+(?:\w+\s+)?"
    r"(?:know|answer|provide|tell|find|determine|recall|have)\b"
    r"|\bas\s+an?\s+(?:ai|language\s+model)\b|\bno\s+(?:answer|information)\b|\bnot\s+(?:one\s+for\s+)?the\s+answer\b",
    re.IGNORECASE,
)
ASKS_FOR_NUMBER = re.compile(
    r"\bwhen|\bhow\s+(?:many|much|long|old|far|tall|high|big|large|often|fast)\b"
    r"|\bwhat\s+(?:year|date|day|time|age|number)\b",
    re.IGNORECASE,
)
FUNCTION_WORDS = frozenset(
    """a an the this that these those it its he she his her they them their there here i you we my your our me us is
    are was were be been being am do does did done has have had having will would can could shall should may
    might must of in on at by for from to with as into over under about around approximately and or but nor so
    if than then also who whom whose which what when where why how yes just only very indeed really actually
    currently now well s t d m re ll ve answer question called known""".split()  # noqa: SIM905
)
NUMBERS = frozenset(
    """one two three four five six seven eight nine ten eleven twelve hundred thousand million billion first second
    third fourth fifth sixth seventh eighth ninth tenth january february march april june july august september
    october november december monday tuesday wednesday thursday friday saturday sunday""".split()  # noqa: SIM905
)


def categories(pairs: pa.Table) -> list[str]:
    """Return one of CATEGORIES for each of some trajectories. Where corrections begin with a verdict, it is what the
    answer behind it does: the initial answer again, or the text that replaces it."""
    questions, before, after = (pairs[name].to_pylist() for name in ("question", "initial_answer", "correction"))
    if "verdict" in pairs.column_names:
        replaced = (VERDICT.sub("", text, count=1) for text in all_without_thinking(after))
        answers = zip(pairs["verdict"].to_pylist(), before, replaced, after, strict=True)
        after = [{"keep": kept, "replace": new}.get(verdict, text) for verdict, kept, new, text in answers]
    return list(map(classify, questions, before, after))


def classify(question: str, initial_answer: str, correction: str) -> str:
    """One of CATEGORIES. The first rule that holds decides, in the order of the code; 10 to 30 microseconds."""
    if initial_answer == correction:
        return "unchanged"
    asked = content_words(question)
    before, before_rest = split_marked(initial_answer)
    after, after_rest = split_marked(correction)
    old, new = answer_words(before, asked), answer_words(after, asked)
    if declines(correction, asked):
        return "refusal"
    if not old:
        return "other_entity"
    if old == new:
        return "format_only" if before_rest - asked == after_rest - asked else "rationale_only"
    lost, added = old - new, new - old
    if not lost:
        return "added_detail"
    if not added:
        return "removed_detail"
    leading = next(word for word in words_in_order(before) if word in old)
    return replaced(question, leading in new, lost, added)


def replaced(question: str, lead_stays: bool, lost: frozenset[str], added: frozenset[str]) -> str:
    """Return the class of a correction whose answer has lost words and has others instead."""
    numbers = is_numeric(lost) and is_numeric(added)
    others = {word for word in lost | added if not numeric(word)}
    if numbers and (not others or ASKS_FOR_NUMBER.search(question)):
        return "number_or_date"
    return "rationale_only" if lead_stays else "other_entity"


def declines(text: str, asked: frozenset[str]) -> bool:
    """Whether a text gives no answer."""
    words = content_words(text)
    repeats = words <= asked and (2 * len(words) > len(asked) or text.rstrip().endswith("?"))
    return not words or repeats or DECLINES.search(text) is not None


def split_marked(text: str) -> tuple[str, frozenset[str]]:
    """Return what follows the last mark of an answer, and the content words before it; the whole text where there is
    none."""
    marks = list(MARK.finditer(text))
    if not marks:
        return text, frozenset()
    return text[marks[-1].end() :], content_words(text[: marks[-1].start()])


def answer_words(text: str, asked: frozenset[str]) -> frozenset[str]:
    """Return the content words of an answer, without the question's unless there are no others."""
    words = content_words(text)
    return words - asked or words


@lru_cache(maxsize=1 << 14)  # a question has many pairs, an initial answer several corrections
def content_words(text: str) -> frozenset[str]:
    return frozenset(words_in_order(text))


def words_in_order(text: str) -> Iterator[str]:
    return (singular(word) for word in WORD.findall(text.lower()) if word not in FUNCTION_WORDS)


def singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def numeric(word: str) -> bool:
    return word[0].isdigit() or word in NUMBERS


def is_numeric(words: frozenset[str]) -> bool:
    """Whether a number or a date is among the words."""
    return any(map(numeric, words))
