"""The stage as a whole: what it writes is complete, reproducible, and says the same as a query over its files."""

import json
from dataclasses import replace

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from filtering import rewards
from filtering.__main__ import filter_iteration
from filtering.filters import Options
from filtering.report import describe
from filtering.settings import Scoring, Settings
from filtering.source import Source
from filtering.stage import is_complete
from store.errors import BadInput, CorruptArtifact, FingerprintMismatch
from store.schemas import SFT, trajectories
from store.shards import iter_shards, read_manifest

SETTINGS = Settings(
    seed=0,
    filter="non_decreasing",
    trains_on="corrections",
    options=Options(),
    scoring=Scoring(["in_accuracy_final", "token_f1"], "in_accuracy_final", 0.5, expects_marker=False),
    compat=[],
)
NUM_CORRECTIONS = {"train": 2, "validation": 1, "test": 1}

TRAIN = [
    ("q0", "capital of france", ["Paris"], [("Rome", ["Paris", "Rome"]), ("Paris", ["Paris", "not Paris"])]),
    ("q1", "capital of france, paris or rome", ["Paris"], [("Paris", ["Rome", ""]), ("Bonn", ["Paris...", "Bonn"])]),
    ("q2", "best grade", ["A+", "one"], [("A+", ["one", "one"]), ("two", ["six, ten, one", "*"])]),
]
# Only the correction of the other initial answer is right: nothing improves.
HELD_OUT = [("t0", "capital of italy", ["Rome"], [("Bonn", ["Bonn"]), ("Rome", ["Rome"])])]


@pytest.fixture
def run(make_run):
    return make_run({"train": TRAIN, "test": HELD_OUT})


def source(run) -> Source:
    return Source(run, 0, NUM_CORRECTIONS)


def rows(run, settings=SETTINGS, split="train") -> list[dict]:
    folder = run.iteration(0).trajectories
    manifest = read_manifest(folder)
    schema = trajectories(settings.scoring.rewards)
    return [row for _, table in iter_shards(folder, manifest, split, schema) for row in table.to_pylist()]


def sft_rows(run) -> list[dict]:
    folder = run.iteration(0).sft
    return [row for _, table in iter_shards(folder, read_manifest(folder), "train", SFT) for row in table.to_pylist()]


def files(run) -> dict[str, bytes]:
    paths = [path for path in run.iteration(0).dir.rglob("*") if path.is_file()]
    return {str(path.relative_to(run.dir)): path.read_bytes() for path in paths}


def test_every_pair_is_written_with_its_transition_and_reason(run):
    filter_iteration(source(run), SETTINGS, 0)
    found = [(row["question_id"], row["correction"], row["transition"], row["reason"]) for row in rows(run)]
    assert found == [
        ("q0", "Paris", "i->c", "improving"),
        ("q0", "Rome", "i->i", "incorrect_twice"),
        ("q0", "Paris", "c->c", "kept_correct"),
        ("q0", "not Paris", "c->c", "kept_correct"),
        ("q1", "Rome", "c->i", "degraded"),
        ("q1", "", "c->i", "empty"),
        ("q1", "Paris...", "i->c", "truncated"),
        ("q1", "Bonn", "i->i", "incorrect_twice"),
        ("q2", "one", "i->c", "improving"),
        ("q2", "one", "i->c", "improving"),
        ("q2", "six, ten, one", "i->c", "improving"),
        ("q2", "*", "i->i", "incorrect_twice"),
    ]
    assert [row["reason"] for row in rows(run, split="test")] == ["held_out", "held_out"]
    assert [row["kept"] for row in rows(run)].count(True) == len(sft_rows(run)) == 6


def test_flags_name_what_to_look_at(run):
    filter_iteration(source(run), SETTINGS, 0)
    flags = {(row["question_id"], row["correction"]): row["flags"] for row in rows(run)}
    assert flags["q0", "not Paris"] == ["correction_negation"]
    assert flags["q1", "Rome"] == ["gold_in_question"]
    assert flags["q1", ""] == ["gold_in_question", "correction_no_final_answer"]
    assert flags["q2", "six, ten, one"] == ["degenerate_gold", "correction_enumeration"]


def test_sft_rows_are_exactly_the_sampled_tokens(run):
    filter_iteration(source(run), SETTINGS, 0)
    first = sft_rows(run)[0]
    prompt = [1, *(100 + ord(character) for character in "capital of france Rome")]
    completion = [*(100 + ord(character) for character in "Paris"), 2]
    assert (first["question_id"], first["init_index"], first["corr_index"]) == ("q0", 0, 0)
    assert first["prompt"] == [{"role": "user", "content": "capital of france Rome"}]
    assert first["completion"] == [{"role": "assistant", "content": "Paris"}]
    assert first["input_ids"] == prompt + completion
    assert first["completion_mask"] == [0] * len(prompt) + [1] * len(completion)


def test_only_the_separate_prompt_trains_on_other_words_than_were_answered(make_run):
    ours, theirs = (make_run({"train": TRAIN, "test": HELD_OUT}, name=name) for name in ("ours", "theirs"))
    filter_iteration(source(ours), SETTINGS, 0)
    template = [{"role": "user", "content": "{question}? Not {initial_answer}?"}]
    settings = replace(SETTINGS, compat=["separate_training_prompt"], training_prompt=template)
    filter_iteration(source(theirs), settings, 0)
    assert rows(ours) == rows(theirs)
    for own, other in zip(sft_rows(ours), sft_rows(theirs), strict=True):
        answer = own["prompt"][0]["content"].rpartition(" ")[2]
        question = own["prompt"][0]["content"].removesuffix(f" {answer}")
        assert other["prompt"] == [{"role": "user", "content": f"{question}? Not {answer}?"}]
        assert other["completion"] == own["completion"]
        completion = [i for i, m in zip(own["input_ids"], own["completion_mask"], strict=True) if m]
        assert (other["input_ids"], other["completion_mask"]) == (completion, [1] * len(completion))


def test_only_cross_pairing_uses_the_correction_of_another_initial_answer(make_run):
    run = make_run({"train": HELD_OUT}, name="own")
    num = {"train": 1}
    settings = replace(SETTINGS, filter="improving")
    assert filter_iteration(Source(run, 0, num), settings, 0)["splits"]["train"]["num_kept"] == 0
    run = make_run({"train": HELD_OUT, "test": HELD_OUT}, name="crossed")
    settings = replace(settings, compat=["cross_pairing"])
    splits = filter_iteration(Source(run, 0, num | {"test": 1}), settings, 0)["splits"]
    assert (splits["train"]["num_pairs"], splits["test"]["num_pairs"]) == (4, 2)
    [kept] = sft_rows(run)
    assert kept["prompt"][0]["content"] == "capital of italy Bonn"
    assert kept["completion"][0]["content"] == "Rome"
    assert (kept["init_index"], kept["corr_index"]) == (0, 1)


def test_thoughts_are_neither_scored_nor_compared(make_run):
    thought = "<think>Rome? No.</think>"
    texts = [f"{thought}Paris", "<think>Perhaps.</think>Paris", f"{thought}Rome", f"{thought}"]
    asked = ("q0", "capital of italy", ["Rome"], [("<think>Paris it is.</think>Paris", texts)])
    run = make_run({"train": [asked]})
    filter_iteration(Source(run, 0, {"train": 4}), SETTINGS, 0)
    found = rows(run)
    assert [row["is_copy"] for row in found] == [True, True, False, False]
    assert [row["transition"] for row in found] == ["i->i", "i->i", "i->c", "i->i"]
    assert [row["correction"] for row in found] == texts  # the sampled text stays
    assert found[3]["reason"] == "empty"


def test_metrics_are_what_duckdb_counts_in_the_files(run):
    summary = filter_iteration(source(run), SETTINGS, 0)
    assert json.loads(run.iteration(0).metrics.read_bytes()) == summary
    files = f"'{run.iteration(0).trajectories}/*.parquet'"
    for split, metrics in summary["splits"].items():
        counted = duckdb.sql(f"""
            select count(*), count(distinct question_id), sum((initial_reward >= 0.5)::int),
                sum((correction_reward >= 0.5)::int), sum(kept::int), sum(is_copy::int),
                sum((correction_finish_reason = 'length')::int), avg(initial_token_f1),
                sum(list_contains(flags, 'correction_no_final_answer')::int)
            from read_parquet({files}) where split = '{split}'
        """).fetchall()
        assert counted == [(
            metrics["num_pairs"], metrics["num_questions"], metrics["num_initial_correct"],
            metrics["num_correction_correct"], metrics["num_kept"], metrics["num_copies"],
            metrics["num_correction_truncated"], pytest.approx(metrics["mean_rewards"]["initial_token_f1"]),
            metrics["num_correction_format_failures"],
        )]  # fmt: skip
        transitions = {name: entry["count"] for name, entry in metrics["transitions"].items() if entry["count"]}
        for column, counts in (("transition", transitions), ("reason", metrics["reasons"])):
            query = f"select {column}, count(*) from read_parquet({files}) where split = '{split}' group by 1"
            assert dict(duckdb.sql(query).fetchall()) == counts
        assert metrics["t2"] - metrics["t1"] == pytest.approx(metrics["delta"])


def test_metrics_report_questions_that_hold_their_answer_apart(run):
    train = filter_iteration(source(run), SETTINGS, 0)["splits"]["train"]
    assert (train["gold_in_question"]["num_pairs"], train["without_gold_in_question"]["num_pairs"]) == (4, 8)
    assert train["gold_in_question"]["transitions"]["c->i"]["count"] == 2
    assert train["without_gold_in_question"]["t1"] == 2 / 8
    assert train["num_initial_answers"] == 6
    assert train["num_initial_answer_tokens"] == sum(len(a) + 1 for q in TRAIN for a, _ in q[3])


def test_metrics_are_given_without_what_train_has_too(make_run):
    flags = {
        "t0": {"exact": "q0", "normalized": "q0", "near_duplicate": "q0", "shared_answer": "q0"},
        "t1": {"near_duplicate": "q1"},
        "t2": {"shared_answer": "q2"},
    }
    answers = enumerate(["Rome", "Rome", "x", "x"])
    test = [(f"t{i}", f"question {i}", ["Rome"], [(answer, ["Rome"])]) for i, answer in answers]
    overlap = {"train/test": flags, "validation/test": {"t3": {"exact": "v"}}}
    run = make_run({"train": TRAIN, "test": test}, overlap=overlap)
    splits = filter_iteration(source(run), SETTINGS, 0)["splits"]
    assert {row["question_id"]: row["flags"] for row in rows(run, split="test")} == {
        "t0": ["overlap", "shared_answer"], "t1": ["overlap"], "t2": ["shared_answer"], "t3": [],
    }  # fmt: skip
    found = splits["test"]
    assert (found["num_pairs"], found["t1"], found["t2"]) == (4, 0.5, 1)
    assert (found["without_overlap"]["num_pairs"], found["without_overlap"]["t1"]) == (2, 0)
    assert (found["without_shared_answer"]["num_pairs"], found["without_shared_answer"]["t1"]) == (2, 0.5)
    assert splits["train"]["without_overlap"]["num_pairs"] == splits["train"]["num_pairs"]


def test_the_selection_and_the_numbers_do_not_depend_on_the_shards(make_run):
    settings = replace(SETTINGS, options=Options(max_per_question=2, max_copy_share=0.2, drop_duplicates=True))
    results = []
    for size in (1, 2, 3):
        run = make_run({"train": TRAIN, "test": HELD_OUT}, shard_size=size, name=f"size-{size}")
        summary = filter_iteration(source(run), settings, 0)
        results.append((rows(run), sft_rows(run), summary["splits"]))
    assert results[0] == results[1] == results[2]


def test_a_finished_stage_has_no_work_and_another_setting_is_refused(run):
    assert not is_complete(source(run), SETTINGS)
    filter_iteration(source(run), SETTINGS, 0)
    assert is_complete(source(run), SETTINGS)
    with pytest.raises(FingerprintMismatch, match=r"options\.margin: 0\.0 -> 0\.5"):
        is_complete(source(run), replace(SETTINGS, options=Options(margin=0.5)))


def test_what_is_missing_or_edited_is_rebuilt_bit_for_bit(run):
    filter_iteration(source(run), SETTINGS, 0)
    before = files(run)
    folder = run.iteration(0)
    for path in (folder.metrics, folder.trajectories / "_MANIFEST.json", *folder.sft.iterdir()):
        path.unlink()
        assert not is_complete(source(run), SETTINGS)
        filter_iteration(source(run), SETTINGS, 0)
        assert files(run) == before
    folder.metrics.write_bytes(b"{}")
    assert not is_complete(source(run), SETTINGS)
    filter_iteration(source(run), SETTINGS, 0)
    assert files(run) == before


def test_leftovers_of_other_samples_are_moved_aside(run):
    filter_iteration(source(run), SETTINGS, 0)
    folder = run.iteration(0)
    for part in (folder.trajectories, folder.sft):
        (part / "_MANIFEST.json").unlink()
    filter_iteration(source(run), replace(SETTINGS, filter="improving"), 0)
    assert {row["reason"] for row in rows(run)} >= {"improving", "not_improving"}
    assert [path.name for path in folder.dir.glob(".*")] == [".trajectories.superseded-00", ".sft.superseded-00"]


def test_a_flipped_bit_in_a_leftover_is_refused(run):
    filter_iteration(source(run), SETTINGS, 0)
    folder = run.iteration(0).trajectories
    (folder / "_MANIFEST.json").unlink()
    path = next(folder.glob("*.parquet"))
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptArtifact, match=path.name):
        filter_iteration(source(run), SETTINGS, 0)


def test_corrections_of_other_initial_answers_are_refused_with_both_digests(run):
    folder = run.iteration(0)
    manifest = read_manifest(folder.initial_answers)
    replace(manifest, settings={"seed": 1}).write(folder.initial_answers)
    with pytest.raises(CorruptArtifact, match=manifest.digest):
        source(run)


def test_nothing_kept_gives_an_empty_sft_folder_and_advice(make_run):
    run = make_run({"train": HELD_OUT})
    summary = filter_iteration(Source(run, 0, {"train": 1}), replace(SETTINGS, filter="improving"), 0)
    manifest = read_manifest(run.iteration(0).sft)
    assert (manifest.written, manifest.shards, manifest.quarantined) == (0, {}, 0)
    assert len(rows(run)) == 2
    screen = describe(summary)
    assert "incorrect_twice 1, not_improving 1" in screen
    assert "sampling.num_initial=" in screen and "strategy=ENF" in screen
    assert is_complete(Source(run, 0, {"train": 1}), replace(SETTINGS, filter="improving"))


def fails_on(text: str):
    def reward(texts, golds):
        scores = rewards.in_accuracy(texts, golds)
        return np.where(np.array(texts) == text, np.float32(np.nan), scores)

    return reward


def test_what_cannot_be_scored_is_quarantined_and_never_zero(run, monkeypatch):
    monkeypatch.setitem(rewards.REWARDS, "fails", fails_on("not Paris"))
    settings = replace(SETTINGS, scoring=replace(SETTINGS.scoring, rewards=["in_accuracy_final", "fails"]))
    with pytest.raises(BadInput, match=r"1 of 14 pairs could not be scored.*q0"):
        filter_iteration(source(run), settings, 0)
    filter_iteration(source(run), settings, 0, max_unscorable=0.1)
    folder = run.iteration(0).trajectories
    manifest = read_manifest(folder)
    assert (manifest.planned, manifest.written, manifest.quarantined) == (14, 13, 1)
    [line] = (folder / "_quarantined.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "question_id": "q0", "init_index": 1, "corr_index": 1, "code": "UNSCORABLE", "rows": 1,
        "file": "train-00000-of-00002.parquet",
    }  # fmt: skip
    assert "not Paris" not in [row["correction"] for row in rows(run, settings)]


def test_every_table_is_read_by_other_tools(run):
    filter_iteration(source(run), SETTINGS, 0)
    for folder in (run.iteration(0).trajectories, run.iteration(0).sft):
        table = pa.parquet.read_table(folder)
        assert table.num_rows == read_manifest(folder).written
        assert duckdb.sql(f"select count(*) from '{folder}/*.parquet'").fetchall() == [(table.num_rows,)]
