"""What is said about a run's questions: the quarantined rows, that they are too many, and three lines in the end."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data.columns import columns_in, guess, listing, setting, settings_for
from data.rows import QuarantinedRow, Question, Reading
from data.sources import SourceFile
from store.errors import BadInput
from store.schemas import SPLITS
from store.shards import Manifest, shard_name

MAX_COLUMNS = 20


def json_lines(rows: Iterable[QuarantinedRow]) -> bytes:
    """One JSON object a line, ASCII only: what a hostile row holds reaches no terminal as control characters."""
    return b"".join(json.dumps(asdict(row)).encode() + b"\n" for row in rows)


def refuse_unusable(reading: Reading, source: SourceFile, config: Mapping[str, Any], report: Path) -> None:
    """BadInput when a file, or too large a part of it, cannot be used: the first row's reason and what to do."""
    if reading.unreadable:
        raise BadInput(f"{reading.file} cannot be read: it {reading.unreadable}")
    limit = config["max_bad_fraction"]
    if reading.num_bad <= limit * reading.num_rows:
        return
    bad = [row for row in reading.quarantined if row.code != "DUPLICATE"]
    codes = ", ".join(f"{count:,} {code}" for code, count in reading.codes.items() if code != "DUPLICATE")
    if len(reading.questions) >= reading.num_bad:
        advice = "Fix the file and run this again, or give a higher data.max_bad_fraction"
    else:
        advice = choose_columns(source, config["columns"])
    raise BadInput(
        f"{reading.file}: {reading.num_bad:,} of {reading.num_rows:,} rows cannot be used ({codes}), at most "
        f"{limit:.2%} may be. The first, line {bad[0].line}: {bad[0].code}: {ascii(bad[0].detail)[1:-1]:.300}\n"
        f"{advice}\n{report} names each"
    )


def choose_columns(source: SourceFile, asked: Mapping[str, list[str]]) -> str:
    """Say which columns a file has, and the words that choose the likely ones."""
    columns = columns_in(source.content, source.format)
    if not columns:
        return "Fix the file and run this again"
    listed = "".join(f"\n  {line}" for line in listing(columns)[:MAX_COLUMNS])
    words = settings_for({"question": "COLUMN", "answers": "COLUMN"} | guess(columns), {key: [] for key in asked})
    path = source.origin.get("path") if "hub" not in source.origin else None
    more = f"; `python -m data {setting('file', path)}` shows more" if path else ""
    return (
        f"Questions were looked for in {asked['question']}, answers in {asked['answers']}; its columns are:{listed}\n"
        f"Choose others, joined with + where answers are in several, and run this again with "
        f'ARGS="... {" ".join(words)}"{more}'
    )


def refuse_empty_splits(readings: Iterable[Reading], splits: Mapping[str, list[Question]], report: Path) -> None:
    """BadInput when a split has no question."""
    usable = "; ".join(f"{reading.file}: {len(reading.questions):,} usable rows" for reading in readings)
    for split, questions in splits.items():
        if not questions:
            raise BadInput(
                f"no question is left for {split} ({usable}); {report} names the rows that are left out. Give more "
                f"data, or another data.splits.{split}.interval"
            )


def summary(manifest: Manifest, folder: Path) -> str:
    """Three lines: the source, the rows of each split, what was quarantined."""
    extra, asked = manifest.extra, manifest.settings
    origins = [f"{name}: {_origin(origin)}" for name, origin in extra["sources"].items()]
    splits = []
    for split in SPLITS:
        rows, available = manifest.shards[shard_name(split, 0, 1)]["rows"], extra["available"][split]
        fewer = f" ({asked[split]:,} asked)" if available < (asked[split] or 0) else ""
        splits.append(f"{split} {rows:,} of {available:,}{fewer}")
    codes = ", ".join(f"{count:,} {code}" for code, count in extra["quarantined"].items()) or "no row"
    return (
        f"questions: {asked['source']} ({', '.join(origins)})\n"
        f"  {', '.join(splits)}\n"
        f"  quarantined: {codes}; {extra['dropped_aliases']:,} gold aliases dropped ({folder})"
    )


def _origin(origin: Mapping[str, str]) -> str:
    return origin.get("generator") or origin.get("wheel") or f"{origin.get('hub', '')} {origin['path']}".strip()
