"""From a run's trajectories to the arrays of the statistics, a batch of rows at a time.

Only the columns that are counted are decoded, and only sums are kept.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.stats.counts import COLUMNS_OF_FIGURES, QuestionCounts
from analysis.stats.start_estimate import Pool
from store.errors import BadInput
from store.run import Iteration
from store.schemas import TRANSITIONS
from store.shards import QUARANTINED, corrupt, read_bytes, required_manifest, verify_shard

BATCH_ROWS = 2**15
TOKENS = ("initial_num_tokens", "correction_num_tokens")
FINISH_REASONS = ("initial_finish_reason", "correction_finish_reason")
STARTS_RIGHT = np.array([name.startswith("c") for name in TRANSITIONS])
ENDS_RIGHT = np.array([name.endswith("c") for name in TRANSITIONS])


def question_counts(iteration: Iteration, split: str) -> QuestionCounts:
    """Return the per-question sums of an iteration's pairs: see QuestionCounts for the columns.

    Every flag is counted, every reward (float32 column) summed. CorruptArtifact for a shard that cannot be trusted,
    BadInput for a split without pairs.
    """
    ids: list[np.ndarray] = []
    sums: list[dict[str, np.ndarray]] = []
    columns = ["question_id", "transition", "is_copy", "kept", "flags", *FINISH_REASONS, *TOKENS]
    for batch in _batches(iteration, split, columns, rewards=True):
        question = batch["question_id"].dictionary_encode()
        ids.append(question.dictionary.to_numpy(zero_copy_only=False).astype(str))
        sums.append(_sums(batch, question.indices.to_numpy(), len(question.dictionary)))
    question_ids, rows = np.unique(np.concatenate(ids), return_inverse=True)
    names = COLUMNS_OF_FIGURES.union(*sums)
    totals = {}
    for name in sorted(names):  # a flag that a batch does not name occurred in none of its pairs
        values = [of_batch.get(name, np.zeros(len(of_ids))) for of_batch, of_ids in zip(sums, ids, strict=True)]
        totals[name] = np.bincount(rows, np.concatenate(values), minlength=len(question_ids))
    return QuestionCounts(question_ids, totals)


def sample_pool(iteration: Iteration, split: str = "train") -> Pool:
    """Return the samples for the start estimate, from M_0's iteration: 90 bytes per pair. Errors as for
    question_counts."""
    columns = ["question_id", "init_index", "corr_index", "transition", *TOKENS]
    table = pa.Table.from_batches(_batches(iteration, split, columns, rewards=False)).combine_chunks()
    transition = _transition_codes(table["transition"].chunk(0))
    return Pool(
        question=table["question_id"].chunk(0).dictionary_encode().indices.to_numpy(),
        init_index=table["init_index"].to_numpy(),
        corr_index=table["corr_index"].to_numpy(),
        initial_correct=STARTS_RIGHT[transition],
        correction_correct=ENDS_RIGHT[transition],
        initial_num_tokens=table["initial_num_tokens"].to_numpy(),
        correction_num_tokens=table["correction_num_tokens"].to_numpy(),
    )


def _batches(iteration: Iteration, split: str, columns: list[str], rewards: bool) -> Iterator[pa.RecordBatch]:
    """Yield the named columns of a split's shards, with `rewards` its float32 columns too; each shard is verified
    first."""
    folder, run = iteration.trajectories, iteration.dir.parent.name
    manifest = required_manifest(folder, f"python -m filtering run={run} iteration={iteration.number}")
    shards = {name: shard for name, shard in sorted(manifest.shards.items()) if name.startswith(f"{split}-")}
    if not sum(shard["rows"] for shard in shards.values()):
        raise no_pairs(iteration, split)
    for name, shard in shards.items():
        path = folder / name
        content = read_bytes(path)
        if verify_shard(content, path)["sha256"] != shard["sha256"]:
            raise corrupt(path, "it is not the file that the manifest names")
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            schema = file.schema_arrow
            summed = [field.name for field in schema if rewards and pa.types.is_float32(field.type)]
            if missing := set(columns).difference(schema.names):
                raise corrupt(path, f"it has no column {', '.join(sorted(missing))}")
            yield from file.iter_batches(BATCH_ROWS, columns=columns + summed)


def no_pairs(iteration: Iteration, split: str) -> BadInput:
    """Return the error for a split without pairs."""
    return BadInput(f"{iteration.trajectories} has no pairs of the split {split}: {_why_none(iteration, split)}")


def _why_none(iteration: Iteration, split: str) -> str:
    """Say what became of a split's questions, and what to do."""
    path = iteration.trajectories / QUARANTINED
    if any(entry["file"].startswith(f"{split}-") for entry in _entries(path)):
        return f"none could be scored; {path} names each. Score the same samples by another reward, with `make rescore`"
    for folder in (iteration.initial_answers, iteration.corrections):
        path = folder / QUARANTINED
        if of_split := [entry for entry in _entries(path) if entry["file"].startswith(f"{split}-")]:
            first = of_split[0]
            codes = ", ".join(sorted({entry["code"] for entry in of_split}))
            return (
                f"all its questions were quarantined in generation ({codes}), the first, {first['question_id']}: "
                f"{first['detail']}; {path} names each. Start a run with shorter questions, or with room for them: a "
                "larger engine.args.max_model_len, a smaller sampling.max_tokens or a shorter prompt"
            )
    return "start a run whose data settings give it questions"


def _entries(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a stage's list of what it could not use; [] where there is none."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []


def _sums(batch: pa.RecordBatch, question: np.ndarray, num_questions: int) -> dict[str, np.ndarray]:
    """Return a batch's sums by question code, each of shape (num_questions,)."""

    def count(pairs: np.ndarray) -> np.ndarray:
        return np.bincount(question[pairs], minlength=num_questions)

    def count_true(pairs: pa.BooleanArray) -> np.ndarray:
        return count(pairs.to_numpy(zero_copy_only=False))

    transition = _transition_codes(batch["transition"])
    sums = {name: count(transition == code) for code, name in enumerate(TRANSITIONS)}
    sums["kept"] = count_true(batch["kept"])
    sums["copies"] = count_true(batch["is_copy"])
    sums["initial_truncated"] = count_true(pc.equal(batch["initial_finish_reason"], "length"))
    sums["correction_truncated"] = count_true(pc.equal(batch["correction_finish_reason"], "length"))
    flag = pc.list_flatten(batch["flags"]).dictionary_encode()
    flagged_pair = pc.list_parent_indices(batch["flags"]).to_numpy()
    for code, name in enumerate(flag.dictionary.to_pylist()):
        sums[name] = count(flagged_pair[flag.indices.to_numpy() == code])
    for field in batch.schema:
        if field.name in TOKENS or pa.types.is_float32(field.type):
            sums[field.name] = np.bincount(question, batch[field.name].to_numpy(), minlength=num_questions)
    return sums


def _transition_codes(column: pa.StringArray) -> np.ndarray:
    """Return indices into TRANSITIONS, shape (pairs,)."""
    codes = pc.index_in(column, value_set=pa.array(TRANSITIONS))
    assert not codes.null_count, f"transitions are {TRANSITIONS}, found {pc.unique(column)}"
    return codes.to_numpy()
