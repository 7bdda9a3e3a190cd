"""What is said about a run's questions: the rows set aside, that they are too many, and three lines in the end."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from data.rows import Question, Reading, SetAside
from store.errors import BadInput
from store.schemas import SPLITS
from store.shards import Manifest, shard_name


def json_lines(rows: Iterable[SetAside]) -> bytes:
    """One JSON object a line, ASCII only: what a hostile row holds reaches no terminal as control characters."""
    return b"".join(json.dumps(asdict(row)).encode() + b"\n" for row in rows)


def refuse_bad_input(
    readings: Iterable[Reading], splits: Mapping[str, list[Question]], max_bad_fraction: float, report: Path
) -> None:
    """BadInput when too large a part of a file cannot be used, or a split has no question."""
    usable = []
    for reading in readings:
        usable.append(f"{reading.file}: {len(reading.questions):,} usable rows")
        if reading.num_bad > max_bad_fraction * reading.num_rows:
            codes = [f"{count:,} {code}" for code, count in reading.codes.items() if code != "DUPLICATE"]
            raise BadInput(
                f"{reading.file}: {reading.num_bad:,} of {reading.num_rows:,} rows cannot be used "
                f"({', '.join(codes)}), at most {max_bad_fraction:.2%} may be; {report} names each. Mend the file and "
                "run this again, or begin a run with a higher data.max_bad_fraction"
            )
    for split, questions in splits.items():
        if not questions:
            raise BadInput(
                f"no question is left for {split} ({'; '.join(usable)}); {report} names the rows set aside. Give more "
                f"data, or begin a run with another data.splits.{split}.interval"
            )


def summary(manifest: Manifest, folder: Path) -> str:
    """Three lines: the source, the rows of each split, what was set aside."""
    extra, asked = manifest.extra, manifest.settings
    origins = [f"{name}: {_origin(origin)}" for name, origin in extra["sources"].items()]
    splits = []
    for split in SPLITS:
        rows, available = manifest.shards[shard_name(split, 0, 1)]["rows"], extra["available"][split]
        fewer = f" ({asked[split]:,} asked)" if available < (asked[split] or 0) else ""
        splits.append(f"{split} {rows:,} of {available:,}{fewer}")
    codes = ", ".join(f"{count:,} {code}" for code, count in extra["set_aside"].items()) or "no row"
    return (
        f"questions: {asked['source']} ({', '.join(origins)})\n"
        f"  {', '.join(splits)}\n"
        f"  set aside: {codes}; {extra['dropped_aliases']:,} gold aliases dropped ({folder})"
    )


def _origin(origin: Mapping[str, str]) -> str:
    return origin.get("wheel") or f"{origin.get('hub', '')} {origin['path']}".strip()
