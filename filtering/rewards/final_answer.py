"""The final answer in a generated text: the last box, else what stands behind the last marker, else the whole text.

A box is LaTeX's `\\boxed{Paris}`. A marker is the word "answer", in many languages, before a colon, a dash or "is", or
alone on its line ("**Final Answer:** Paris", "so the correct answer is Paris", "### Answer", "答案是"), "A:" where a
line starts, and GSM8K's "#### 18". No marker is a verdict ("your answer is correct", "the answer is not Paris"), an
answer that is talked about ("initial answer: Paris", "if the answer is Paris"), or a question ("The answer is Paris?
No."). Verdicts are left out of what is returned where anything else is there. Only generated text is searched, so a
marker inside the question does not matter; thoughts are removed before that (store.thinking).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from filtering.rewards import latex

# Regular expressions run on lower-cased text, unless their name says otherwise.
NOUNS = (
    r"(?<![^\W_])(?:answer|ans|final (?:result|solution|response))(?![^\W_])",
    r"(?<![^\W_])(?:réponse|antwort|antwoord|respuesta|resposta|risposta|svar|vastaus|cevap|yanıt|jawaban(?:nya)?)(?![^\W_])",
    r"(?<![^\W_])(?:ответ|відповідь|odpowiedź|odpověď|απάντηση|đáp án|câu trả lời|תשובה|الإجابة|الجواب|پاسخ)(?![^\W_])",
    r"(?:उत्तर|জবাব|উত্তর|คำตอบ|答案|回答|答え|答(?=[:：])|正解|정답|답변|답)",
)
VERBS = (
    r"(?<!\w)(?:is|was|are|(?:would|should|must|will|could) be|becomes|remains)(?: (?:then|thus|therefore|hence))?\b"
    r"|(?<!\w)(?:is|was|are)(?=n['’]t\b)",
    r"(?<!\w)(?:est|ist|lautet|es|é|è|jest|je|är|er|adalah|là|είναι|هي|هو|है|হল)(?!\w)",
    r"(?:应该|應該)?[是为為]|(?=不?(?:是|对|正确|正確|错误|錯誤))|は|[은는](?=\s)|คือ",
)
LABELS = r"[:：﹕=→⇒]|[-=]>|(?<=[ \t])[-–](?=[ \t])|—"
CLOSED = r"[*_\"'”’)\]}]*[ \t]*"  # of markdown, quotes, brackets
CANDIDATE = r"(?P<candidate>\([^()\n]{0,40}\)|[\"“][^\"”\n]{1,60}[\"”])?[ \t]*"
OF_WHAT = r"(?:(?:above|below|given|provided|to|for|of)\b[^.:!?\"“\n]{0,80}?(?:[\"“][^\"”\n]{0,120}[\"”])?)?"
FILLER = r"(?:(?:as follows|the following|given below|below)(?=[ \t]*[:：\n]))?"
MARKER = re.compile(
    rf"(?:{'|'.join(NOUNS)}){CLOSED}{CANDIDATE}{OF_WHAT}{CLOSED}"
    rf"(?:(?P<label>{LABELS})|(?P<verb>{'|'.join(VERBS)})[*_]*[ \t]*{FILLER}[*_]*[ \t]*(?P<colon>[:：])?|(?=\n\s*\S))"
)
NUMBER_WITH_UNIT = r"(?!\d+[.)][ \t])[-–−]?[$€£¥₹]?[-–−]?\d[\d.,/]*(?:[ \t]*[^\W\d]+){0,3}[ \t.]*$"
HASHES = re.compile(rf"^[ \t]*####(?=[ \t]*{NUMBER_WITH_UNIT})|^[ \t]*####(?=[ \t]*[^\s#][^\n]*\s*\Z)", re.MULTILINE)
LETTER_A = re.compile(r"^[ \t*_>#]*A[*_]*[ \t]*[:：]", re.MULTILINE)  # of "Q: ... A: ...", in the text as it is
LETTER_B = re.compile(r"^[ \t*_>#]*B[*_]*[ \t]*[:：.)]", re.MULTILINE)  # A to D are choices
# One of these is in every lower-cased text that is not its own final answer, or "A:" in the text.
HINTS = (
    "answer", "ans:", "####", "\\", "final re", "final so", "antwo", "espuesta", "sposta", "svar", "vastaus", "cevap",
    "jawaban",
)  # fmt: skip
OTHER_HINTS = (  # of texts outside ASCII
    "a：", "réponse", "yanıt", "ответ", "відповідь", "odpowiedź", "odpověď", "απάντηση", "đáp án", "câu trả lời",
    "תשובה", "الإجابة", "الجواب", "پاسخ", "उत्तर", "জবাব", "উত্তর", "คำตอบ", "答", "正解", "답",
)  # fmt: skip

REACH = 80  # characters before a marker that are looked at: a whole line would make long lines quadratic
CLAUSE_END = re.compile(r"[.!?;:,，。；：！？、\n(—]|\b(?:but|and|so|then|thus|hence|therefore)\b")
PARAGRAPH_END = re.compile(r"\n[ \t]*\n")
# An answer that is talked about: by the words before it, by doubt or reported speech in its clause.
CERTAIN = re.compile(r"\b(?:final|correct|right|corrected|revised|improved|updated|true|actual|real|best|new)\W*$")
ANOTHER = re.compile(
    r"\b(?:initial|previous|original|first|second|proposed|given|earlier|prior|suggested|old|wrong|incorrect|your|his"
    r"|her|their|other|another|alternative|possible|candidate|draft|above|provided|any|every|each)\W+(?:\w+\W+)?$"
    r"|\bno\W+$"
)
DOUBT = re.compile(
    r"\b(?:not|never|cannot|\w+n['’]t|doubt|if|whether|unless|why|what|thought|assumed|believed|initially"
    r"|originally|you (?:said|wrote|gave|answered))\b"
)
QUESTION = re.compile(r"[^.!?\n\"”]{0,80}\?(?![\"”])")
# "right" is a verdict where its clause ends or goes on with a reason; "right ascension" is an answer.
JUDGEMENTS = (
    r"(?:in)?correct|right|wrong|(?:in)?accurate|(?:in)?valid|(?:in)?complete|unclear|consistent|verified|confirmed"
    r"|unchanged|fine|good|acceptable|plausible|reasonable|misleading|above|below|given|provided|found|available|easy"
    r"|simple|clear|obvious|straightforward|tricky|difficult|complicated|(?:in)?correct[aeo]s?|juste|fausse|richtig"
    r"|falsch|sbagliata|верный|неверный|(?:不?正确|正確|错误|錯誤|对)的?"
)
VERDICT = re.compile(
    r"[ \t*_]*(?:(?:indeed|also|still|in fact|actually|completely|entirely|partially|partly|absolutely|definitely"
    r"|probably|clearly|quite|almost|totally|mostly|already|likely|therefore)\s+)*"
    rf"(?:(?:{JUDGEMENTS})[*_]*(?:[ \t]*(?:[.!,;:?\n。！，—–]+|$)|(?=[ \t]+(?:because|as|since|and|but|so|for|with|that"
    r"|in|to|by|given|according|if|when|[-(])(?!\w)))"
    r"|(?:(?P<negation>n['’]t|not|nicht|pas)\b|不是)"
    r"(?:(?!\b(?:but|rather|instead)\b)(?:[^,;.!?\n，。；]|[.,](?=\d))){0,200}[,;.!?\n，。；]*"
    r"|(?:based|derived|found|obtained|supported|explained|taken)[ \t]+(?:up)?(?:on|from|by|in|at|using|above)\b"
    r"[^.!?\n]{0,300}[.!?]*)"
)
NEGATIVE = re.compile(r"\b(?:in(?:correct|accurate|valid)|wrong|not|nicht|pas|falsch|fausse)\b|n['’]t\b")
NAMED = re.compile(
    r"(?:\b(?:the|this|that|your|my|our|initial|previous|original|first|given|proposed|above|final|la|die|deine|votre"
    r"|tu|su)[ \t]+)*$"
)
CLOSING_REMARK = re.compile(r"\bi hope (?:it|this|that) (?:is (?:correct|right)|helps)\b[.!]*")


class Found(NamedTuple):
    """answer: the final answer, possibly ""; is_marked: whether a box or a marker says so."""

    answer: str
    is_marked: bool


def final_answer(text: str) -> str:
    """Return the final answer of a text."""
    return find(text).answer


def after_marker(text: str) -> str | None:
    """Return the final answer of a text with a box or a marker, None where it has neither."""
    found = find(text)
    return found.answer if found.is_marked else None


def final_answers(texts: Sequence[str]) -> dict[int, Found]:
    """Return {row: what is found} of the texts whose final answer is not the whole text, or is marked."""
    lowered = [text.lower() for text in texts]
    together = "\n".join(lowered)
    some = {row for row, text in enumerate(texts) if "A:" in text}
    some |= {row for hint in HINTS if hint in together for row, text in enumerate(lowered) if hint in text}
    others = [row for row, text in enumerate(lowered) if not text.isascii()]
    some |= {row for hint in OTHER_HINTS if hint in together for row in others if hint in lowered[row]}
    found = {row: find(texts[row]) for row in sorted(some)}
    return {row: each for row, each in found.items() if each.is_marked or each.answer != texts[row]}


def find(text: str) -> Found:
    """Return the final answer of a text, and whether it is marked."""
    if "\\" in text:
        text = latex.without_typesetting(text)
        box = latex.last_box(text)
        if box is not None:
            return Found(box, True)
    lowered = text.replace("İ", "I").lower()  # the one character whose lower case is longer than itself
    ends, verdicts = _markers(text, lowered)
    ends += [match.end() for match in HASHES.finditer(lowered)] if "####" in lowered else []
    ends += [match.end() for match in LETTER_A.finditer(text)] if not LETTER_B.search(text) else []
    if not ends:
        return Found(_without(verdicts, text, 0, len(text)), False)
    start = max(ends)
    paragraph = PARAGRAPH_END.search(text, len(text) - len(text[start:].lstrip("*_:： \t\r\n")))
    answer = _without(verdicts, text, start, paragraph.start() if paragraph else len(text))
    return Found(answer.strip("*_:： \t\r\n"), True)


def _markers(text: str, lowered: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Return where the answers behind markers begin, and the (start, end) of verdicts and closing remarks."""
    ends, verdicts = [], [match.span() for match in CLOSING_REMARK.finditer(lowered)]
    at = 0
    while match := MARKER.search(lowered, at):
        at = match.end()
        before = lowered[max(0, match.start() - REACH) : match.start()]
        verdict = VERDICT.match(lowered, at) if match["verb"] is not None and not match["colon"] else None
        if verdict and not _is_title(text, match, verdict):
            if not match["candidate"] or NEGATIVE.search(verdict[0]):  # else the verdict names the answer
                named = NAMED.search(before)
                verdicts.append((match.start() - (len(named[0]) if named else 0), verdict.end()))
        elif _is_claim(match, before, lowered):
            ends.append(match.end())
    return ends, verdicts


def _is_title(text: str, match: re.Match[str], verdict: re.Match[str]) -> bool:
    """Whether a negation is the begin of a title: "the answer is Not Without My Daughter"."""
    return bool(verdict["negation"]) and text[verdict.start("negation")].isupper() and text[match.start() + 1].islower()


def _is_claim(match: re.Match[str], before: str, lowered: str) -> bool:
    """Whether a marker gives an answer, and does not only talk about one."""
    clause = CLAUSE_END.split(before)[-1]
    if match["verb"] is None and match["label"] is None:  # a heading: alone on its line, but for what kind of answer
        line = before[before.rfind("\n") + 1 :].strip("*_#> \t").split()
        return len(line) <= 1 or line[-1] == "final"
    if DOUBT.search(clause) or (ANOTHER.search(clause) and not CERTAIN.search(clause)):
        return False
    return match["label"] is not None or bool(match["colon"]) or not QUESTION.match(lowered, match.end())


def _without(spans: Sequence[tuple[int, int]], text: str, start: int, end: int) -> str:
    """Return text[start:end] without the spans; with them where nothing else is there."""
    kept, at = "", start
    for first, last in sorted(spans):
        if at <= first < end:
            kept, at = kept + text[at:first], min(last, end)
    if at == start or not re.search(r"\w", kept + text[at:end]):
        return text if (start, end) == (0, len(text)) else text[start:end]
    return (kept + text[at:end]).strip()
