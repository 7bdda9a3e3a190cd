"""The stage as a whole: what it writes is complete, and does not depend on how samples lie in shards."""

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
from filtering.source import Source
from filtering.stage import is_complete
from store.errors import BadInput
from store.shards import read_manifest
from tests.filtering.hand_made import HELD_OUT, SETTINGS, TRAIN, rows, sft_rows, source


@pytest.fixture
def run(make_run):
    return make_run({"train": TRAIN, "test": HELD_OUT})


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


def test_the_selection_and_the_numbers_do_not_depend_on_the_shards(make_run):
    settings = replace(SETTINGS, options=Options(max_per_question=2, max_copy_share=0.2, drop_duplicates=True))
    results = []
    for size in (1, 2, 3):
        run = make_run({"train": TRAIN, "test": HELD_OUT}, shard_size=size, name=f"size-{size}")
        summary = filter_iteration(source(run), settings, 0)
        results.append((rows(run), sft_rows(run), summary["splits"]))
    assert results[0] == results[1] == results[2]


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
