"""The manifests of a finished generation stage: every planned shard verified, every planned row accounted for."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa

from generation.plan import Plan, Shard
from store.fingerprint import digest_bytes
from store.publish import write_atomic
from store.run import Run
from store.schemas import CORRECTIONS, INITIAL_ANSWERS
from store.shards import QUARANTINED, Manifest, corrupt, decode_shard, describe_shard, read_bytes, required_manifest
from store.stage import check_no_unexpected_files


def write_manifests(run: Run, plan: Plan) -> dict[str, Manifest]:
    """Verify and sum up every table of M_n; CorruptArtifact names a shard that is another run's or does not add up."""
    folder = run.iteration(plan.iteration)
    own = tuple(shard for shard in plan.shards if shard.split not in plan.reused)
    initial_rows = {s.file: (s.stop - s.start) * s.num_initial for s in own}
    headers, shards = _verified(folder.initial_answers, own, plan, INITIAL_ANSWERS)
    reused = _references(run, plan)
    answers = _manifest("initial_answers", folder.initial_answers, plan, initial_rows, headers, shards, reused, {})

    manifests = {"initial_answers": answers}
    before, corrected = folder.initial_answers, (_first(run).shards if reused else {}) | answers.shards
    for round in range(1, plan.num_rounds + 1):
        table, of_round = folder.corrections_of(round), tuple(s for s in plan.shards if s.num_rounds >= round)
        headers, shards = _verified(table, of_round, plan, CORRECTIONS)
        for file, header in headers.items():
            if header["corrected_sha256"] != corrected[file]["sha256"]:
                raise corrupt(table / file, "it corrects other answers than those beside it")
        each = {s.file: s.num_corrections if round == 1 else 1 for s in of_round}
        rows = {file: corrected[file]["rows"] * number for file, number in each.items()}
        extra = {before.name: manifests[before.name].digest}
        manifests[table.name] = _manifest("corrections", table, plan, rows, headers, shards, {}, extra)
        before, corrected = table, shards
    return manifests


def _verified(
    folder: Path, shards: tuple[Shard, ...], plan: Plan, schema: pa.Schema
) -> tuple[dict[str, Any], dict[str, Any]]:
    headers, described = {}, {}
    for shard in shards:
        content = read_bytes(folder / shard.file)
        _, header = decode_shard(content, folder / shard.file, schema)
        stated = (header["fingerprint"], header["split"], header["questions"])
        if stated != (plan.fingerprint, shard.split, [shard.start, shard.stop]):
            raise corrupt(folder / shard.file, "it belongs to another run, iteration, setting or place")
        headers[shard.file] = header
        described[shard.file] = describe_shard(content, header)
    check_no_unexpected_files(folder, {shard.file for shard in shards})
    return headers, described


def _manifest(
    stage: str,
    folder: Path,
    plan: Plan,
    planned: dict[str, int],
    headers: dict,
    shards: dict,
    reused: dict,
    extra: dict,
) -> Manifest:
    quarantined = [entry | {"file": file} for file in sorted(headers) for entry in headers[file]["quarantined"]]
    for file, rows in planned.items():
        found = shards[file]["rows"] + sum(entry["rows"] for entry in headers[file]["quarantined"])
        if found != rows:
            raise corrupt(folder / file, f"{rows} rows were planned, {found} are accounted for")
    if quarantined:
        lines = [json.dumps(entry, ensure_ascii=False, sort_keys=True) for entry in quarantined]
        content = "\n".join([*lines, ""]).encode()
        write_atomic(folder / QUARANTINED, content, replace=True)
        extra = extra | {"reports": {QUARANTINED: digest_bytes(content)}}
    num_quarantined = sum(entry["rows"] for entry in quarantined)
    written = sum(shard["rows"] for shard in shards.values())
    manifest = Manifest(
        stage,
        plan.iteration,
        plan.settings,
        plan.parents,
        sum(planned.values()),
        written,
        num_quarantined,
        shards,
        reused,
        extra,
    )
    manifest.write(folder)
    return manifest


def _first(run: Run) -> Manifest:
    return required_manifest(run.iteration(0).initial_answers, f"make iterate N=0 RUN={run.name}")


def _references(run: Run, plan: Plan) -> dict[str, dict[str, str]]:
    if not plan.reused:
        return {}
    folder, first = run.iteration(plan.iteration).initial_answers, run.iteration(0).initial_answers
    reference = {"folder": os.path.relpath(first, folder), "digest": _first(run).digest}
    return {split: reference for split in plan.reused}
