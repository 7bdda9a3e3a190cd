"""What surrounds the tables of an iteration: is there work, and the files that sum them up, written last."""

import json
import resource
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from filtering import metrics, rounds
from filtering.settings import Scoring, Settings
from filtering.shards import Rows, Written, publish_shard
from filtering.source import Source
from store.errors import BadInput, FingerprintMismatch
from store.fingerprint import digest_bytes, digest_file
from store.publish import sweep_temporaries, write_atomic
from store.run import Run
from store.schemas import ROUNDS
from store.shards import QUARANTINED, Manifest, read_manifest, read_shard, shard_name
from store.stage import archive_superseded, check_no_unexpected_files, fingerprint, finished

Shard = tuple[str, str]  # split, file


def is_complete(source: Source, settings: Settings) -> bool:
    """Return whether all folders and metrics.json are there and are what these samples and settings give."""
    manifests = [finished(part, settings.identity(), source.parents) for part in parts_of(source)]
    sft = manifests[-1]
    if sft is None or None in manifests or not source.folder.metrics.exists():
        return False
    return digest_file(source.folder.metrics) == sft.extra["metrics"]


def parts_of(source: Source) -> list[Path]:
    """Return the folders this stage fills, sft/ last: its manifest says that all is done."""
    folder = source.folder
    return [folder.trajectories, *([folder.rounds] if source.further_rounds else []), folder.sft]


def header_of(source: Source, settings: Settings, iteration: int) -> dict[str, Any]:
    """Return what the header of every shard says, and archive shards that were made from something else."""
    header = {"iteration": iteration, "fingerprint": fingerprint(settings.identity(), source.parents)}
    for folder in filter(Path.is_dir, parts_of(source)):
        sweep_temporaries(folder)  # a killed writer's
        if any(read_shard(path)[1]["fingerprint"] != header["fingerprint"] for path in folder.glob("*.parquet")):
            archive_superseded(folder)
    return header


def refuse_unscorable(
    source: Source, pairs: Iterable[pl.DataFrame], quarantined: Iterable[Rows], max_share: float
) -> None:
    """Raise BadInput when more than a share of the pairs could not be scored."""
    lost = [row for rows in quarantined for row in rows]
    num_pairs = len(lost) + sum(map(len, pairs))
    if len(lost) > max_share * num_pairs:
        raise BadInput(
            f"{source.folder.dir}: {len(lost)} of {num_pairs} pairs could not be scored, e.g. {lost[0]}, "
            f"and at most {max_share:.0%} may be left out: choose another reward, or give reward.max_unscorable=<share>"
        )


def refuse_other_function(run: Run, source: Source, scoring: Scoring) -> None:
    """Raise FingerprintMismatch where the file of the user's function has changed since an iteration was scored by it,
    this one or another."""
    if scoring.function is None:
        return
    for iteration in run.iterations():
        scored = read_manifest(iteration.trajectories)
        old = scored.settings["scoring"].get("function") if scored else None
        if old and old["sha256"] != (new := scoring.function.identity["sha256"]):
            raise FingerprintMismatch(
                f"{scoring.function.file} has changed since {iteration.trajectories} was scored by it (sha256 "
                f"{old['sha256'][:12]} -> {new[:12]}): put the old content back, or score the same samples by the new "
                f"one in another run, `make rescore FROM={source.run.name} RUN=<new name>`"
            )


def sft_names(kept: list[Shard]) -> dict[Shard, str]:
    """Return the shard of sft/ for each shard of trajectories that has kept pairs."""
    return {shard: shard_name(shard[0], number, len(kept)) for number, shard in enumerate(kept)}


def finish(
    source: Source, settings: Settings, header: dict[str, Any], quarantined: dict[Shard, Rows],
    written: dict[Shard, Written], names: dict[Shard, str],
) -> dict[str, Any]:  # fmt: skip
    """Write rounds/, the manifests and metrics.json, the manifest of sft/ last; return what metrics.json holds. names:
    as `sft_names` gives them."""
    folder, iteration, of_rounds, splits = source.folder, header["iteration"], {}, {}
    for split in dict.fromkeys(split for split, _ in written):
        splits[split] = metrics.summarize([counts for (of, _), (*_, counts) in written.items() if of == split])
        turns = rounds.scored(source, settings.scoring, split)
        for file, rows in turns.items():
            of_split = header | {"split": split, "stage": "rounds"}
            table = rows.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).cast(ROUNDS)
            of_rounds[file] = publish_shard(folder.rounds / file, table, of_split)
        if turns:
            splits[split]["rounds"] = rounds.summarize(pl.concat(turns.values()))

    def write_manifest(part: Path, shards: dict[str, Any], lost: int = 0, **extra: Any) -> str:
        check_no_unexpected_files(part, set(shards))
        num_rows = sum(shard["rows"] for shard in shards.values())
        planned, decided_by = num_rows + lost, settings.identity()
        manifest = Manifest(
            part.name, iteration, decided_by, source.parents, planned, num_rows, lost, shards, extra=extra
        )
        manifest.write(part)
        return manifest.digest

    lost, reports = [row | {"file": file} for (_, file), rows in quarantined.items() for row in rows], {}
    if lost:
        lines = [json.dumps(row, sort_keys=True, ensure_ascii=False) for row in lost]
        content = "\n".join([*lines, ""]).encode()
        write_atomic(folder.trajectories / QUARANTINED, content, replace=True)
        reports = {"reports": {QUARANTINED: digest_bytes(content)}}
    trajectories = {file: described for (_, file), (described, *_) in written.items()}
    digest = write_manifest(folder.trajectories, trajectories, len(lost), **reports)
    if source.further_rounds:
        write_manifest(folder.rounds, of_rounds)
    scoring = settings.identity()["scoring"]
    summary = {
        "iteration": iteration,
        "reward": settings.scoring.chosen,
        "threshold": settings.scoring.threshold,
        **{name: scoring[name] for name in ("function", "weights") if name in scoring},
        **({"judge": source.judged.extra["costs"]} if source.judged else {}),
        "filter": {"name": settings.filter} | settings.identity()["options"],
        "compat": settings.compat,
        "splits": splits,
        "trajectories": digest,
    }
    content = json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    write_atomic(folder.metrics, content, replace=True)
    sft = {name: written[shard][1] for shard, name in names.items()}
    mixed = {"is_mixed": True} if settings.is_mixed else {}
    write_manifest(folder.sft, sft, trajectories=digest, metrics=digest_bytes(content), **mixed)
    return summary


def publish_stats(source: Source, started: float, processes: int) -> str:
    """Write stats/filtering.json, with the seconds since `started`, and return a line about it."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    peak = max(usage.ru_maxrss for usage in used) * 1024
    costs = {"seconds": round(time.monotonic() - started, 3), "processes": processes, "peak_memory_bytes": peak}
    write_atomic(source.folder.stats / "filtering.json", json.dumps(costs).encode(), replace=True)
    return f"peak {peak / 2**30:.1f} GiB a process, {costs['seconds']:.0f} s"
