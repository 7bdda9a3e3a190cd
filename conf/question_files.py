"""Checks of `data.files` and `data.splits` that need no file: a run is refused before it starts."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from store.errors import ConfigError


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
