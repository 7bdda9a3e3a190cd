"""What an artifact was made from, as digests: a path is no identity, and neither is a time stamp.

A fingerprint is a flat dict of `name -> value`. `settings` are the run's own and must never differ on resume;
`parents` are digests of the artifacts read, and when those were rebuilt the artifact is rebuilt too.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from store.errors import FingerprintMismatch

SEED_BITS = 63  # fits a signed 64-bit column and torch.Generator.manual_seed


def canonical_json(value: Any) -> bytes:
    """Return the one JSON text of a value: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(value: Any) -> str:
    """sha256 (hex) of a JSON value."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def digest_bytes(content: bytes) -> str:
    """sha256 (hex) of bytes."""
    return hashlib.sha256(content).hexdigest()


def digest_file(path: Path) -> str:
    """sha256 (hex) of a file, read in blocks (about 1 GB/s)."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stable_hash(*key: str | int) -> int:
    """Return a request's seed, from what it is and from nothing else: batch, shard, worker and N_init x N_corr do not
    enter, so the samples of a 1 x 1 cell are a subset of those of a 5 x 5 cell. Hashed, because engines that count
    seeds up share noise between neighbors."""
    return int.from_bytes(hashlib.sha256(canonical_json(key)).digest()[:8], "big") >> (64 - SEED_BITS)


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn {'a': {'b': 1}} into {'a.b': 1}; lists are values."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= flatten(item, f"{prefix}{key}.") if isinstance(item, Mapping) and item else {f"{prefix}{key}": item}
    return flat


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line for every key whose value differs: `key: old -> new`."""
    old, new = flatten(old), flatten(new)
    absent = "(absent)"
    return [
        f"{key}: {old.get(key, absent)!r} -> {new.get(key, absent)!r}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, absent) != new.get(key, absent)
    ]


def refuse_difference(what: str, old: Mapping[str, Any], new: Mapping[str, Any], next_step: str) -> None:
    """Raise FingerprintMismatch listing every differing key, old and new, when there is one."""
    lines = difference(old, new)
    if lines:
        listing = "\n  ".join(lines)
        raise FingerprintMismatch(f"{what} was made with other settings (old -> new):\n  {listing}\n{next_step}")
