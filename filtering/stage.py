"""What surrounds the passes: is there work, and the files that sum the tables up, written last."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filtering import metrics
from filtering.passes import Tables, write_tables
from filtering.settings import Settings
from filtering.source import Source
from store.fingerprint import digest_bytes, digest_file
from store.publish import publish, sweep_temporaries
from store.schemas import SPLITS
from store.shards import QUARANTINED, Manifest, read_shard
from store.stage import fingerprint, finished, refuse_strays, set_aside


def is_complete(source: Source, settings: Settings) -> bool:
    """Whether both folders and metrics.json are there and are what these samples and settings give."""
    folder = source.folder
    manifests = [finished(part, asdict(settings), source.parents) for part in parts_of(source)]
    if None in manifests or not folder.metrics.exists():
        return False
    return digest_file(folder.metrics) == manifests[-1].extra["metrics"]


def parts_of(source: Source) -> list[Path]:
    """The folders this stage fills, sft/ last: its manifest says that all is done."""
    folder = source.folder
    return [folder.trajectories, *([folder.rounds] if source.further_rounds else []), folder.sft]


def filter_iteration(source: Source, settings: Settings, iteration: int, processes: int = 1) -> dict[str, Any]:
    """Make trajectories/, metrics.json and sft/, whose manifest comes last; returns what metrics.json holds."""
    folder, decided, parents = source.folder, asdict(settings), source.parents
    for part in parts_of(source):
        clear_the_way(part, fingerprint(decided, parents))
    header = {"iteration": iteration, "fingerprint": fingerprint(decided, parents)}
    tables = write_tables(source, settings, header, processes)

    quarantined, reports = tables.quarantined, {}
    if quarantined:
        lines = [json.dumps(entry, sort_keys=True, ensure_ascii=False) for entry in quarantined]
        content = "\n".join([*lines, ""]).encode()
        publish(folder.trajectories / QUARANTINED, content, replace=True)
        reports = {"reports": {QUARANTINED: digest_bytes(content)}}
    written = num_rows(tables.trajectories)
    trajectories = Manifest(
        "trajectories", iteration, decided, parents, written + len(quarantined), written, len(quarantined),
        tables.trajectories, extra=reports,
    )  # fmt: skip
    trajectories.write(folder.trajectories)
    refuse_strays(folder.trajectories, set(tables.trajectories))

    if source.further_rounds:
        rows = num_rows(tables.rounds)
        Manifest("rounds", iteration, decided, parents, rows, rows, 0, tables.rounds).write(folder.rounds)
        refuse_strays(folder.rounds, set(tables.rounds))

    summary = summarize(settings, iteration, tables) | {"trajectories": trajectories.digest}
    content = json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    publish(folder.metrics, content, replace=True)

    kept, extra = num_rows(tables.sft), {"trajectories": trajectories.digest, "metrics": digest_bytes(content)}
    sft = Manifest("sft", iteration, decided, parents, kept, kept, 0, tables.sft, extra=extra)
    refuse_strays(folder.sft, set(tables.sft))
    sft.write(folder.sft)
    return summary


def summarize(settings: Settings, iteration: int, tables: Tables) -> dict[str, Any]:
    """The content of metrics.json: the settings behind the numbers, then an entry per split that has questions."""
    return {
        "iteration": iteration,
        "reward": settings.scoring.chosen,
        "threshold": settings.scoring.threshold,
        "filter": {"name": settings.filter} | asdict(settings.options),
        "compat": settings.compat,
        "splits": {
            split: metrics.summarize(tables.counts[split], tables.sums[split])
            | ({"rounds": counts} if (counts := tables.round_counts.get(split)) else {})
            for split in SPLITS
            if split in tables.counts
        },
    }


def clear_the_way(folder: Path, expected_fingerprint: str) -> None:
    """Remove a killed writer's temporary files, and move aside shards that it made from something else."""
    if folder.is_dir():
        sweep_temporaries(folder)
        if any(read_shard(path)[1]["fingerprint"] != expected_fingerprint for path in folder.glob("*.parquet")):
            set_aside(folder)


def num_rows(shards: dict[str, dict[str, Any]]) -> int:
    return sum(shard["rows"] for shard in shards.values())
