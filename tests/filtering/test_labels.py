"""What is said of a pair: its transition, its flags in one order, and what each kind of training looks at."""

from dataclasses import replace

import polars as pl
import pyarrow as pa
import pytest

from filtering.filters import REASON, Options
from filtering.flags import FLAGS, TEXT_FLAGS
from filtering.labels import NAMES, labeled, selectable, transition
from filtering.pairs import PAIR, Samples
from filtering.rewards.texts import Golds, Texts
from tests.filtering.hand_made import SETTINGS


@pytest.mark.parametrize(("threshold", "initial", "correction", "expected"), [
    (0.5, [0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0], ["i->c", "c->i", "c->c", "i->i"]),
    (0.7, [0.5, 0.7, 0.2], [0.6, 0.7, 0.3], ["i->i", "c->c", "i->i"]),
])  # fmt: skip
def test_transitions_of_rewards_below_on_and_above_the_threshold(threshold, initial, correction, expected):
    pairs = pl.DataFrame({"r1": initial, "r2": correction}, schema={"r1": pl.Float32, "r2": pl.Float32})
    assert pairs.select(transition(pl.col("r1"), pl.col("r2"), threshold)).to_series().to_list() == expected


NUMBERS = {"initial_answer_number": [0, 0, 1], "correction_answer_number": [1, 2, 3]}
QUESTIONS = pa.table({
    "question_id": ["q0", "q1"], "question": ["capital of france", "paris"], "answers": [["Paris"], ["Paris", "*"]],
    "overlap": [False, True], "shared_answer": [True, True],
})  # fmt: skip


def test_a_pair_has_the_flags_of_its_question_and_of_both_texts_in_one_order():
    columns = {f"{side}_{flag}": [False] * 3 for side in ("initial", "correction") for flag in TEXT_FLAGS}
    columns |= {"initial_negation": [False, True, False], "correction_no_final_answer": [True, True, False]}
    rewards = {f"{side}_in_accuracy_final": [0.0, 1.0, 0.0] for side in ("initial", "correction")}
    pairs = pl.DataFrame({"question_row": [1, 0, 1]} | columns | rewards | NUMBERS)
    pairs = pairs.with_columns(reason=pl.lit("improving", REASON))
    found = NAMES.take(labeled(pairs, QUESTIONS, SETTINGS.scoring)["flags"].to_arrow()).to_pylist()
    of_question = ["gold_in_question", "degenerate_gold", "overlap", "shared_answer"]
    assert found == [
        [*of_question, "correction_no_final_answer"],
        ["shared_answer", "initial_negation", "correction_no_final_answer"],
        of_question,
    ]
    assert all(sorted(some, key=FLAGS.index) == some for some in found)


@pytest.mark.parametrize(("trains_on", "truncated", "empty", "repeated"), [
    ("corrections", [False, False, True], [False, True, False], [False, False, False]),
    ("initial_answers", [True, True, False], [False, False, False], [False, True, False]),
    ("gold_answers", [False, False, False], [False, False, False], [False, True, True]),
])  # fmt: skip
def test_what_is_trained_decides_which_text_is_looked_at(trains_on, truncated, empty, repeated):
    initial, corrections = pa.table({"text": ["a...", "b"]}), pa.table({"text": ["b", "", "b..."]})
    pairs = pl.DataFrame({
        **dict(zip(PAIR, ([0, 0, 0], [0, 0, 1], [0, 1, 0]), strict=True)),
        **NUMBERS, "initial_row": [0, 0, 1], "correction_row": [0, 1, 2],
        "initial_truncated": [True, True, False], "correction_truncated": [False, False, True],
        "initial_empty": [False] * 3, "correction_empty": [False, True, False],
        "initial_in_accuracy_final": [1.0, 1.0, 1.0], "correction_in_accuracy_final": [1.0, 1.0, 1.0],
    })  # fmt: skip
    samples = Samples(initial, corrections, pairs, QUESTIONS, Texts([]), Golds([]))
    settings = replace(SETTINGS, trains_on=trains_on, filter="none", options=Options(drop_duplicates=True))
    found = selectable(pairs, samples, settings, "train")
    assert [found[name].to_list() for name in ("truncated", "empty", "repeated")] == [truncated, empty, repeated]
    assert found["draw"].null_count() == 2  # of what may be trained alone
    assert selectable(pairs, samples, settings, "test")["held_out"].to_list() == [True] * 3
