"""Checks of `data.files`, `data.splits` and `data.columns` that need no file: a run is refused before it starts."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from store.errors import ConfigError

# What else a table of questions, a prompt or a reward calls something.
TAKEN = ("question_id", "question", "questions", "answers", "split", "source", "initial_answer", "texts", "golds")


def check_origins(name: str, origins: Mapping[str, Any], allow_unpinned: bool, by_hub: bool = False) -> None:
    """Raise ConfigError when data.files.<name> has no origin that may be used."""
    revision = "data.hub.revision" if by_hub else f"data.files.{name}.hub.revision"
    pinned_hub = origins["hub"] is not None and (origins["hub"]["revision"] or allow_unpinned)
    if not (origins.get("generator") or origins["path"] or pinned_hub or origins["wheel"]):
        raise ConfigError(
            f"data.files.{name} has no pinned origin: give data.files.{name}.path=FILE, or, where it names a file "
            f"on the hub, {revision}=<the 40 digits of a commit, from its page's history> or data.allow_unpinned=true, "
            "which takes and records today's"
        )


def check_splits(splits: Mapping[str, Any], files: Mapping[str, Any]) -> None:
    """Raise ConfigError for an unknown or unused file, an empty interval, or two splits that share questions of a
    file. splits: {name: {"file", "interval": [start, stop)}}."""
    given, used = sorted(files), sorted({part["file"] for part in splits.values()})
    if used != given:
        raise ConfigError(f"data.splits draws from {', '.join(used)}, but data.files gives {', '.join(given)}")
    for split, part in splits.items():
        start, stop = part["interval"]
        if not 0 <= start < stop <= 1:
            raise ConfigError(f"data.splits.{split}.interval=[{start},{stop}] is not an interval of [0,1]")
    ordered = sorted(splits.items(), key=lambda item: (item[1]["file"], item[1]["interval"][0]))
    for (split, part), (other, following) in pairwise(ordered):
        if part["file"] == following["file"] and following["interval"][0] < part["interval"][1]:
            raise ConfigError(
                f"data.splits.{split} and data.splits.{other} overlap in file {part['file']}: give them intervals such "
                "as [0,0.8] and [0.8,1]"
            )


def check_columns(columns: Mapping[str, Any], used: Mapping[str, Sequence[str]]) -> None:
    """Raise ConfigError for further columns of questions that cannot be called so, and for those that a reward or a
    prompt takes and the questions lack. used: {"reward": names, "prompt": names}; no gold answer may be in the latter.
    """
    more = columns.get("more", [])
    for number, name in enumerate(more):
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or name in (*TAKEN, *more[:number]):
            raise ConfigError(
                f"data.columns.more names {name!r}: letters, digits and _ were expected, each name once, and none of "
                f"{', '.join(TAKEN)}; rename the column in the file"
            )
    if unread := [name for name in columns.get("optional", []) if name not in more]:
        raise ConfigError(f"data.columns.optional names {unread[0]}, which is not in data.columns.more: add it there")
    for section, names in used.items():
        if lacking := [name for name in names if name not in more]:
            wanted = ",".join([*more, *lacking])
            raise ConfigError(
                f"{section}.columns takes {lacking[0]}, which the questions lack: read it from their file with "
                f"data.columns.more=[{wanted}]"
            )
    golds = {part.partition(".")[0] for name in columns["answers"] for part in name.split("+")}
    if shown := [name for name in used["prompt"] if name in golds]:
        raise ConfigError(
            f"prompt.columns takes {shown[0]}, which data.columns.answers reads gold answers from, and these never "
            "reach a prompt: leave it out"
        )
