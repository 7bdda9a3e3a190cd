"""Sections, style and scripts put together as one file that asks nothing of a network."""

import base64
import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis.screen import escape_control_characters

TEMPLATES = Path(__file__).parent / "templates"
LONGEST = 400  # characters of a text outside the viewer


class Part(NamedTuple):
    """A view or a section: its anchor, its title, and the template that shows it."""

    id: str
    title: str
    template: str


def render(title: str, views: list[Part], sections: list[Part], scripts: list[str], **context: Any) -> bytes:
    """Render the file. Only style and scripts of this project run: the policy names them by hash and forbids all
    else."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "visible": escape_control_characters,
        "short": lambda text: text if len(text) <= LONGEST else f"{text[:LONGEST]} …",
        "words": lambda name: name.replace("_", " "),
        "transition": transition_words,
        "css": lambda name: name.replace("->", "-"),
        "subscript": lambda number: str(number).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")),
    }
    style, script = read("style.css"), "\n".join(map(read, scripts)).replace('"use strict";', "")
    script = f'"use strict";\n{script}'
    html = environment.get_template("page.html").render(
        title=title,
        views=views,
        sections=sections,
        policy=f"default-src 'none'; style-src '{csp_hash(style)}'; script-src '{csp_hash(script)}'; "
        "base-uri 'none'; form-action 'none'",
        style=Markup(style),
        script=Markup(script),
        **context,
    )
    return html.encode()


def transition_words(name: str) -> str:
    """i->c as "incorrect → correct"."""
    words = {"i": "incorrect", "c": "correct"}
    before, _, after = name.partition("->")
    return f"{words[before]} → {words[after]}"


def read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def csp_hash(text: str) -> str:
    """Return an inline element's content as a source of a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
