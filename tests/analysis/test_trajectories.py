"""Streaming a run's trajectories: the sums are those of a loop over the rows, and a million rows fit a laptop."""

import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from analysis.stats.start_estimate import start_estimates
from analysis.trajectories import question_counts, sample_pool
from store.errors import BadInput, CorruptArtifact
from store.run import Iteration, Run
from store.schemas import TRANSITIONS, trajectories
from store.shards import Manifest, describe_shard, encode_shard, shard_name, verify_shard
from tests.conftest import Workspace, make_workspace

REWARDS = ["in_accuracy", "token_f1"]
FLAGS = ["gold_in_question", "initial_no_final_answer", "correction_no_final_answer"]


def make_rows(rng: np.random.Generator, split: str, num_questions: int, num_init: int, num_corr: int) -> pa.Table:
    """Trajectories of `trajectories(REWARDS)`, one pair in three a copy."""
    question, init_index, corr_index = (axis.ravel() for axis in np.indices((num_questions, num_init, num_corr)))
    num_pairs = len(question)
    right_answers = rng.random((num_questions, num_init)) < 0.4
    before, after = right_answers[question, init_index], rng.random(num_pairs) < 0.4
    texts = np.array([" ".join(words) for words in rng.integers(0, 10**6, (2 * num_pairs, 50)).astype(str)])
    initial = texts[question * num_init + init_index]
    correction = np.where(rng.random(num_pairs) < 1 / 3, initial, texts[num_pairs:])
    num_tokens = rng.integers(1, 257, (num_questions, num_init))[question, init_index], rng.integers(1, 257, num_pairs)
    codes = np.select([~before & after, before & ~after, before & after], [0, 1, 2], 3)
    flags = [
        [flag for flag, there in zip(FLAGS, row, strict=True) if there] for row in rng.random((num_pairs, 3)) < 0.1
    ]
    columns = {
        "question_id": [f"{split}-{i:06d}" for i in question],
        "init_index": init_index,
        "corr_index": corr_index,
        "split": [split] * num_pairs,
        "question": ["who?"] * num_pairs,
        "answers": [["she", "her"]] * num_pairs,
        "initial_answer": initial,
        "correction": correction,
        "initial_final_answer": initial,
        "correction_final_answer": correction,
        "transition": np.array(TRANSITIONS)[codes],
        "is_copy": initial == correction,
        "kept": rng.random(num_pairs) < 0.2,
        "reason": ["improving"] * num_pairs,
        "flags": flags,
        "initial_finish_reason": np.where(rng.random(num_pairs) < 0.1, "length", "stop"),
        "correction_finish_reason": np.where(rng.random(num_pairs) < 0.1, "length", "stop"),
        "initial_num_tokens": num_tokens[0],
        "correction_num_tokens": num_tokens[1],
        "initial_reward": before,
        "correction_reward": after,
        "initial_in_accuracy": before,
        "correction_in_accuracy": after,
        "initial_token_f1": rng.random(num_pairs),
        "correction_token_f1": rng.random(num_pairs),
    }
    schema = trajectories(REWARDS)
    return pa.table([pa.array(columns[name]).cast(schema.field(name).type) for name in schema.names], schema=schema)


def publish_trajectories(root: Path, tables: dict[str, list[pa.Table]]) -> Iteration:
    """An iteration's `trajectories` folder: shards and manifest as the filtering stage leaves them."""
    iteration = Run("demo", root).iteration(0)
    iteration.trajectories.mkdir(parents=True)
    shards = {}
    for split, parts in tables.items():
        for index, table in enumerate(parts):
            name = shard_name(split, index, len(parts))
            content = encode_shard(table, trajectories(REWARDS), {"stage": "trajectories"})
            path = iteration.trajectories / name
            path.write_bytes(content)
            shards[name] = describe_shard(content, verify_shard(content, path))
    rows = sum(table.num_rows for parts in tables.values() for table in parts)
    Manifest("trajectories", 0, {}, {}, rows, rows, 0, shards).write(iteration.trajectories)
    return iteration


@pytest.fixture
def published(tmp_path) -> tuple[Iteration, pa.Table]:
    """An iteration whose train split lies in three shards, one question across two of them."""
    rng = np.random.default_rng(0)
    train, test = make_rows(rng, "train", 40, 3, 2), make_rows(rng, "test", 25, 2, 1)
    return publish_trajectories(tmp_path, {"train": [train[:100], train[100:103], train[103:]], "test": [test]}), train


def test_the_sums_are_those_of_a_loop_over_the_rows(published, monkeypatch):
    monkeypatch.setattr("analysis.trajectories.BATCH_ROWS", 17)
    iteration, train = published
    expected: dict[str, Counter[str]] = defaultdict(Counter)
    for row in train.to_pylist():
        sums = expected[row["question_id"]]
        sums.update([row["transition"], *row["flags"]])
        sums["kept"] += row["kept"]
        sums["copies"] += row["is_copy"]
        sums["initial_truncated"] += row["initial_finish_reason"] == "length"
        sums["correction_truncated"] += row["correction_finish_reason"] == "length"
        for side in ("initial", "correction"):
            for name in ("num_tokens", "reward", *REWARDS):
                sums[f"{side}_{name}"] += row[f"{side}_{name}"]
    counts = question_counts(iteration, "train")
    assert counts.question_ids.tolist() == sorted(expected)
    assert set(counts.sums) == set().union(*expected.values())
    for name, column in counts.sums.items():
        assert column == pytest.approx([expected[key][name] for key in counts.question_ids]), name


def test_columns_of_figures_are_there_when_nothing_was_flagged(tmp_path):
    table = make_rows(np.random.default_rng(1), "test", 5, 1, 1)
    unflagged = table.set_column(
        table.schema.get_field_index("flags"),
        table.schema.field("flags"),
        pa.array([[]] * 5, table.schema.field("flags").type),
    )
    counts = question_counts(publish_trajectories(tmp_path, {"test": [unflagged]}), "test")
    assert counts.sums["initial_no_final_answer"].tolist() == [0] * 5


def test_the_pool_holds_every_pair_of_m_0(published):
    iteration, train = published
    pool, rows = sample_pool(iteration), train.to_pylist()
    ids = sorted({row["question_id"] for row in rows})
    assert [ids[code] for code in pool.question] == [row["question_id"] for row in rows]
    assert pool.initial_correct.tolist() == [row["initial_reward"] == 1 for row in rows]
    assert pool.correction_correct.tolist() == [row["correction_reward"] == 1 for row in rows]
    for name in ("init_index", "corr_index", "initial_num_tokens", "correction_num_tokens"):
        assert getattr(pool, name).tolist() == train[name].to_pylist()
    assert start_estimates(pool, [(3, 2)])[0].improving_rows.value == pytest.approx(
        train["transition"].to_pylist().count("i->c")
    )


def test_a_split_without_pairs_and_an_unfinished_iteration_are_named(published, tmp_path):
    iteration, _ = published
    with pytest.raises(BadInput, match="no pairs of the split validation"):
        question_counts(iteration, "validation")
    with pytest.raises(CorruptArtifact, match=r"python -m filtering run=demo iteration=1"):
        question_counts(Run("demo", tmp_path).iteration(1), "train")


@pytest.mark.parametrize("damage", ["flip", "remove", "exchange"])
def test_a_shard_that_cannot_be_trusted_is_refused_by_name(published, damage):
    iteration, _ = published
    path = iteration.trajectories / shard_name("train", 1, 3)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    if damage == "flip":
        path.write_bytes(content)
    if damage == "exchange":
        path.write_bytes((iteration.trajectories / shard_name("train", 0, 3)).read_bytes())
    with pytest.raises(CorruptArtifact, match=path.name):
        question_counts(iteration, "train")


MEASURE = """
import json, sys, time
from pathlib import Path
from analysis.stats.intervals import estimate_figures
from analysis.trajectories import question_counts
from store.run import Run

start = time.perf_counter()
counts = question_counts(Run("demo", Path(sys.argv[1])).iteration(0), "train")
read = time.perf_counter() - start
estimate_figures(counts)
pairs = sum(counts.sums[name].sum() for name in ("i->c", "c->i", "c->c", "i->i"))
status = Path("/proc/self/status").read_text()  # ru_maxrss would begin at what the parent had
peak = int(status.partition("VmHWM:")[2].split()[0])
print(json.dumps({"pairs": pairs, "read": read, "all": time.perf_counter() - start, "gib": peak / 2**20}))
"""


def test_a_million_trajectories_stream_in_seconds_and_under_a_gigabyte(tmp_path):
    part = make_rows(np.random.default_rng(2), "train", 1000, 5, 5)
    ids = np.array(part["question_id"].to_pylist())
    parts = []
    for shard in range(40):
        of_shard = pa.array(np.char.add(f"{shard:02d}-", ids))
        parts.append(part.set_column(0, part.schema.field(0), of_shard))
    publish_trajectories(tmp_path, {"train": parts})
    result = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True)
    measured = json.loads(result.stdout)
    print(measured)
    assert measured["pairs"] == 1_000_000
    assert measured["gib"] < 1
    assert measured["read"] < 30  # 4 s on an idle core


def test_a_split_whose_prompts_are_all_too_long_is_called_that(tmp_path, tiny_model):
    workspace = make_workspace(tmp_path, tiny_model)
    lines = [json.dumps({"question": f"{i} " + "long " * 150, "answers": ["red"]}) for i in range(4)]
    (tmp_path / "long.jsonl").write_text("\n".join(lines))
    files = [f"data.files.{split}.path={tmp_path}/questions.jsonl" for split in ("train", "validation")]
    shared = [setting for setting in workspace.settings if not setting.startswith("data")]
    parts = ["data=local_splits", *files, f"data.files.test.path={tmp_path}/long.jsonl", "data.train=5"]
    parts += ["data.splits.train.interval=[0,0.5]", "data.splits.validation.interval=[0.5,1]"]
    with pytest.raises(AssertionError, match="no question of test has room") as refused:
        Workspace(tmp_path, [*shared, *parts]).iterate("long", 0, "engine.args.max_model_len=1024")
    needed = int(re.search(r"the shortest needs (\d+) tokens", str(refused.value))[1])
    parts += ["sampling.max_tokens=32", f"engine.args.max_model_len={needed + 32}"]  # room to correct an empty answer
    Workspace(tmp_path, [*shared, *parts]).iterate("long", 0)
    reason = r"all its questions were quarantined .*PROMPT_TOO_LONG.*tokens(.|\n)*max_model_len"
    with pytest.raises(BadInput, match=reason):
        question_counts(Run("long", tmp_path / "runs").iteration(0), "test")
