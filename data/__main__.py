"""Make a run's questions: fetch the source, check every row, draw the splits, publish.

    python -m data run=demo
    python -m data file=my.csv          looks at a file and prints what it understood: see data/look.py

Reads runs/<run>/config.yaml (`data`) and the source's files; writes runs/<run>/questions/: a shard per split,
_quarantined.jsonl (quarantined rows: file, line, code, detail), _dropped_aliases.jsonl, _overlap.json, _MANIFEST.json.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from conf.stored import load
from data import skills
from data.look import arguments_of, look
from data.overlap import OVERLAP, compare_splits
from data.pass_rate import scored_samples, with_pass_rate
from data.reports import json_lines, refuse_empty_splits, refuse_unusable, summary
from data.rows import Question, Reading, read_questions
from data.sources import SourceFile, fetch
from data.splits import draw, num_repeated, parts_of, without_duplicates
from store import shards
from store.errors import stage_main
from store.fingerprint import digest_bytes, digest_file
from store.publish import sweep_temporaries, write_atomic
from store.run import Run, locked, stage_arguments
from store.schemas import QUESTIONS, SPLITS
from store.schemas import questions as questions_schema
from store.shards import QUARANTINED, Manifest, read_manifest, shard_name
from store.stage import check_no_unexpected_files, fingerprint, finished

DROPPED = "_dropped_aliases.jsonl"
PASS_RATE = "pass_rate"  # among the parents: the samples it was found by
# What decides the questions; the limit of bad rows and permission to take an unpinned revision do not.
DECIDING = ("source", *SPLITS, "seed", "splits", "columns", "answer_marker")


def main(argv: list[str]) -> None:
    if any(argument.startswith("file=") for argument in argv):
        return look(arguments_of(argv))
    run = Run(stage_arguments(argv, "data", "run")["run"])
    with locked(run):
        config = load(run).data.model_dump(mode="json")  # inside: it may be replaced as long as nothing is made of it
        manifest = already_made(run.questions, config) or make_questions(run.questions, config)
    print(summary(manifest, run.questions), flush=True)


def already_made(folder: Path, config: Mapping[str, Any]) -> Manifest | None:
    """Return the manifest of complete questions; FingerprintMismatch when the settings or a local file changed.

    A local file, or a run for the pass rate, that is gone does not invalidate the questions made from it: its recorded
    digest stands.
    """
    recorded = read_manifest(folder)
    if recorded is None:
        return None
    sha256 = dict(recorded.parents)
    for name, origins in config["files"].items():
        if origins["path"] is not None and Path(origins["path"]).exists():
            sha256[name] = digest_file(Path(origins["path"]))
    pass_rate = config["pass_rate"]
    if pass_rate and (samples := read_manifest(Run(pass_rate["run"]).iteration(0).trajectories)):
        sha256[PASS_RATE] = samples.digest
    return finished(folder, settings(config, sha256), recorded.parents)


def settings(config: Mapping[str, Any], sha256: Mapping[str, str]) -> dict[str, Any]:
    """Return what the questions depend on. A local file is its sha256, wherever it lies; the other origins are pinned.
    The pass rate is that of some samples, whatever their run is called."""
    files = {}
    for name, origins in config["files"].items():
        if origins.get("generator"):
            files[name] = {"generator": origins["generator"], "version": skills.NAME}
        elif origins["path"]:
            files[name] = {"sha256": sha256.get(name)}
        else:
            files[name] = {"hub": origins["hub"], "wheel": origins["wheel"]}
    pass_rate = config["pass_rate"]
    if pass_rate:
        pass_rate = {"low": pass_rate["low"], "high": pass_rate["high"], "samples": sha256.get(PASS_RATE)}
    return {key: config[key] for key in DECIDING} | {"files": files, "pass_rate": pass_rate}


def make_questions(folder: Path, config: Mapping[str, Any]) -> Manifest:
    """Fetch, check, draw and publish; BadInput leaves the report of the quarantined rows and nothing else."""
    sweep_temporaries(folder)
    parts = parts_of(config)
    sources = {name: fetch(name, files, config["allow_unpinned"]) for name, files in config["files"].items()}
    readings = without_duplicates({name: read(source, config) for name, source in sources.items()})
    parents = {name: source.origin["sha256"] for name, source in sources.items()}
    eligible = None
    if config["pass_rate"]:
        run = Run(config["pass_rate"]["run"])
        samples = scored_samples(run)
        parents[PASS_RATE] = samples.digest
        eligible = with_pass_rate(run, samples, config["pass_rate"]["low"], config["pass_rate"]["high"])
    splits, available, left_out = draw(readings, parts, config["seed"], eligible)
    quarantined = [row for reading in readings.values() for row in reading.quarantined] + left_out
    dropped = [row for reading in readings.values() for row in reading.dropped_aliases]
    write_atomic(folder / QUARANTINED, json_lines(quarantined), replace=True)
    for name, source in sources.items():
        refuse_unusable(readings[name], source, config, folder / QUARANTINED)
    refuse_empty_splits(readings.values(), splits, folder / QUARANTINED)

    overlap = compare_splits(splits)
    reports = {QUARANTINED: json_lines(quarantined), DROPPED: json_lines(dropped), OVERLAP: as_json(overlap)}
    for name, content in reports.items():
        write_atomic(folder / name, content, replace=True)
    deciding = settings(config, parents)
    schema = questions_schema(deciding)
    described = publish_shards(folder, splits, config["source"], fingerprint(deciding, parents), schema)
    extra = {
        "sources": {name: source.origin | {"rows": readings[name].num_rows} for name, source in sources.items()},
        "available": available,
        "repeated_questions": {split: num_repeated(questions) for split, questions in splits.items()},
        "quarantined": dict(sorted(Counter(row.code for row in quarantined).items())),
        "dropped_aliases": len(dropped),
        "overlap": overlap["counts"],
        "reports": {name: digest_bytes(content) for name, content in reports.items()},
    }
    rows = sum(shard["rows"] for shard in described.values())
    bad = len(quarantined)
    manifest = Manifest("questions", 0, deciding, parents, rows + bad, rows, bad, described, extra=extra)
    manifest.write(folder)
    return manifest


def read(source: SourceFile, config: Mapping[str, Any]) -> Reading:
    """Every row of a source's file, checked; rows are named by the file they came from."""
    file = next(source.origin[key] for key in ("path", "member", "generator") if key in source.origin)
    columns, marker = config["columns"], config["answer_marker"]
    return read_questions(file, source.content, source.format, config["source"], columns, marker)


def publish_shards(
    folder: Path, splits: Mapping[str, list[Question]], source: str, own_fingerprint: str, schema: pa.Schema
) -> dict[str, dict[str, Any]]:
    """One shard per split, in the order of the draw; a shard that is there already must hold the same."""
    described = {}
    for split, questions in splits.items():
        path = folder / shard_name(split, 0, 1)
        table = as_table(questions, split, source, schema)
        shards.write_shard(path, table, schema, {"stage": "questions", "split": split, "fingerprint": own_fingerprint})
        found, header = shards.read_shard(path, schema)
        if header["fingerprint"] != own_fingerprint or not found.equals(table):
            raise shards.corrupt(path, "it holds other questions than the source and the settings give")
        described[path.name] = shards.describe_shard(shards.read_bytes(path), header)
    check_no_unexpected_files(folder, set(described))
    return described


def as_table(questions: Iterable[Question], split: str, source: str, schema: pa.Schema = QUESTIONS) -> pa.Table:
    """Questions as rows of their schema."""
    rows = [
        {"question_id": q.question_id, "question": q.question, "answers": q.answers, "split": split, "source": source}
        | q.more
        for q in questions
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def as_json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"


if __name__ == "__main__":
    stage_main(main)
