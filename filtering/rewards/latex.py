"""What of LaTeX a model writes around a plain answer: boxes, commands that only set type, fractions, spaces."""

import re

BRACE = re.compile(r"\\(?:boxed|fbox)\s{0,9}(?:\{|(?P<word>[^\s{}$]+))|(?<!\\)[{}]")
TYPESETTING = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}")
FRACTION = re.compile(r"(?<=\d)?\\[dtc]?frac\s*(?:\{([^{}]*)\}|(\d))\s*(?:\{([^{}]*)\}|(\d))")
PLAIN = (  # in this order
    (re.compile(r"(?<=\d)(?:\{,\}|\\!,|,\\!)(?=\d)"), ","),
    (re.compile(r"(?<=\d)\\[,;: ](?=\d{3})"), " "),
    (re.compile(r"\^\{?\\circ\}?|\\degree"), "°"),
    (re.compile(r"\^\s*\{([^{}]*)\}"), r"^\1"),
    (re.compile(r"\\(?:times|cdot)\b"), "×"),
    (re.compile(r"\\(?:left|right|displaystyle|big+|Big+)\b|\\[,;:! ]|\\q?quad\b"), " "),
    (re.compile(r"\\([%$#&_{}])"), r"\1"),
    (re.compile(r"\\[()\[\]]"), " "),
)


def last_box(text: str) -> str | None:
    """Return what is in the last `\\boxed{...}` that is closed, braces in it balanced; `\\boxed 5` holds one word."""
    opened, boxes = [], []  # where braces open that are not closed yet, and (start, end) of what is in a box
    for match in BRACE.finditer(text):
        if match["word"]:
            boxes.append(match.span("word"))
        elif match[0] != "}":
            opened.append((match.end(), match[0] != "{"))
        elif opened:
            start, is_box = opened.pop()
            boxes += [(start, match.start())] * is_box
    start, end = max(boxes, default=(0, 0))
    return text[start:end].strip() if boxes else None


def without_typesetting(text: str) -> str:
    """Return a text with `\\text{...}` and its like unwrapped."""
    return TYPESETTING.sub(r"\1", text).strip()


def plain(text: str) -> str:
    """Return a text with fractions as a/b, powers as a^b, and without commands that only set type."""
    if "\\" not in text and "{" not in text:
        return text
    text = FRACTION.sub(_fraction, without_typesetting(text))
    for pattern, replacement in PLAIN:
        text = pattern.sub(replacement, text)
    return text


def _fraction(match: re.Match[str]) -> str:
    top, bottom = match[1] or match[2] or "", match[3] or match[4] or ""
    space = " " if match.start() and match.string[match.start() - 1].isdigit() else ""  # a mixed number
    return f"{space}{_part(top)}/{_part(bottom)}"


def _part(text: str) -> str:
    return text if re.fullmatch(r"\s*[\w.]+\s*", text) else f"({text})"
