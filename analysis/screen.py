"""Generated text made safe to look at: characters that act on a screen instead of showing become their code points.

A terminal obeys escape sequences, and both terminals and browsers obey bidirectional overrides, which make a text read
as another one. Tab and line feed stay; so do the joiners that some scripts and emoji need.
"""

import re

# C0 and C1 controls, bidirectional marks, overrides and isolates, line separators, invisible operators, BOM, tags.
CONTROL_CHARACTERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)


def escape_control_characters(text: str) -> str:
    """Return the text with every acting character as `‹U+202E›`."""
    return CONTROL_CHARACTERS.sub(lambda match: f"‹U+{ord(match[0]):04X}›", text)
