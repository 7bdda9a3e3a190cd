"""Corrections belong to their own initial answer, and nothing is lost, doubled or mismatched on the way."""

from collections import Counter
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtering.compat import cross_pairs
from filtering.pairs import PAIR, check, join
from store.errors import CorruptArtifact
from store.schemas import CORRECTIONS, INITIAL_ANSWERS

PATH = Path("corrections/train-00000-of-00001.parquet")


def row(**values) -> dict:
    common = {"prompt": [], "prompt_token_ids": [1], "token_ids": [2], "finish_reason": "stop"}
    return common | {"seed": 0, "cumulative_logprob": 0.0} | values


def tables(num_questions: int, num_initial: int, num_corrections: int) -> tuple[list[dict], list[dict]]:
    """Rows whose texts name their own keys."""
    initial = [
        row(question_id=f"q{i}", init_index=j, text=f"q{i}/{j}")
        for i in range(num_questions)
        for j in range(num_initial)
    ]
    corrections = [
        row(
            question_id=answer["question_id"],
            init_index=answer["init_index"],
            corr_index=k,
            initial_answer=answer["text"],
            text=f"{answer['text']}/{k}",
        )
        for answer in initial
        for k in range(num_corrections)
    ]
    return initial, corrections


def joined(initial: list[dict], corrections: list[dict], num_corrections: int, lost: Counter | None = None):
    """The pairs, with their ids and texts."""
    schemas = (initial, INITIAL_ANSWERS), (corrections, CORRECTIONS)
    samples = [pa.Table.from_pylist(rows, schema=schema) for rows, schema in schemas]
    ids, texts, _, answers, pairs = join(*samples)
    check(PATH, ids, samples, answers, pairs, num_corrections, lost or Counter())
    named = {"question_id": (ids, "question_row"), "initial_text": (texts, "initial_text_row")}
    named["correction_text"] = texts, "correction_text_row"
    return pairs.hstack([pl.Series(name, [values[row] for row in pairs[rows]], pl.String)
                         for name, (values, rows) in named.items()])  # fmt: skip


def keys(pairs: pl.DataFrame) -> list[tuple]:
    return pairs.select("question_id", *PAIR[1:]).rows()


def texts(pairs: pl.DataFrame) -> list[tuple[str, str]]:
    return pairs.select("initial_text", "correction_text").rows()


@given(st.integers(0, 3), st.integers(1, 3), st.integers(1, 3), st.randoms())
def test_every_correction_meets_its_own_initial_answer(num_questions, num_initial, num_corrections, random):
    initial, corrections = tables(num_questions, num_initial, num_corrections)
    random.shuffle(initial)
    random.shuffle(corrections)
    some = joined(initial, corrections, num_corrections)
    assert len(some) == num_questions * num_initial * num_corrections
    assert [f"{key[0]}/{key[1]}/{key[2]}" for key in keys(some)] == [text for _, text in texts(some)]
    assert all(correction.startswith(f"{answer}/") for answer, correction in texts(some))


@given(st.data())
def test_accounting_is_exact(data):
    """Any one row lost, doubled, renumbered, moved or edited is refused, and named."""
    initial, corrections = tables(2, 2, 2)
    rows = data.draw(st.sampled_from([initial, corrections]))
    at = data.draw(st.integers(0, len(rows) - 1))
    changes = {
        "lost": lambda: rows.pop(at),
        "doubled": lambda: rows.append(dict(rows[at])),
        "moved": lambda: rows[at].update(question_id="q9"),
        "renumbered": lambda: rows[at].update(init_index=5),
        "edited": lambda: rows[at].update(text="other") if rows is initial else rows[at].update(initial_answer="other"),
    }
    changes[data.draw(st.sampled_from(sorted(changes)))]()
    with pytest.raises(CorruptArtifact, match=r"train-00000-of-00001.parquet cannot be used: \d .*e.g. \('q\d', \d"):
        joined(initial, corrections, 2)


@pytest.mark.parametrize("corr_index", [-1, 2])
def test_a_correction_with_a_number_that_was_not_planned_is_refused(corr_index):
    initial, corrections = tables(1, 1, 2)
    corrections[1]["corr_index"] = corr_index
    with pytest.raises(CorruptArtifact, match="not numbered 0 to 1"):
        joined(initial, corrections, 2)


def test_corrections_that_generation_quarantined_are_accounted_for():
    initial, corrections = tables(2, 1, 2)
    with pytest.raises(CorruptArtifact, match=r"1 initial answers do not have 2 corrections, e.g. \('q1', 0\)"):
        joined(initial, corrections[:2], 2)
    assert len(joined(initial, corrections[:2], 2, Counter({("q1", 0): 2}))) == 2
    with pytest.raises(CorruptArtifact):  # quarantined, and there all the same
        joined(initial, corrections, 2, Counter({("q1", 0): 2}))


def test_crossed_pairs_have_keys_of_their_own_and_the_other_answers_prompt():
    own = joined(*tables(2, 2, 2), 2)
    some = cross_pairs(own, 2)
    assert len(some) == 2 * 2**2 * 2
    assert len(set(keys(some))) == len(some)
    assert texts(some)[:4] == [("q0/0", "q0/0/0"), ("q0/0", "q0/0/1"), ("q0/0", "q0/1/0"), ("q0/0", "q0/1/1")]
    assert keys(some)[:4] == [("q0", 0, 0), ("q0", 0, 1), ("q0", 0, 2), ("q0", 0, 3)]
    assert own["initial_text"][some["prompt_row"]].to_list() == some["initial_text"].to_list()
    assert own["correction_text"][some["correction_row"]].to_list() == some["correction_text"].to_list()


def test_crossed_pairs_are_ordered_by_question_answer_and_correction():
    """In whatever order corrections come."""
    initial, corrections = tables(2, 2, 2)
    some = cross_pairs(joined(initial, corrections[::-1], 2), 2)
    assert keys(some)[:5] == [("q1", 1, 3), ("q1", 1, 2), ("q1", 1, 1), ("q1", 1, 0), ("q1", 0, 3)]
    mixed = cross_pairs(joined(initial, corrections[::2] + corrections[1::2], 2), 2)
    assert [key[:2] for key in keys(mixed)] == [(q, j) for q in ("q0", "q1") for j in (0, 1) for _ in range(4)]


def test_texts_are_different_ones_of_each_question():
    initial, corrections = tables(2, 2, 2)
    for row_ in (*initial, *corrections):
        row_["text"] = "same" if row_["init_index"] else "other"
    samples = zip((initial, corrections), (INITIAL_ANSWERS, CORRECTIONS), strict=True)
    tables_ = [pa.Table.from_pylist(rows, schema=schema) for rows, schema in samples]
    ids, found, questions, answers, pairs = join(*tables_)
    assert sorted(zip(found, (ids[row] for row in questions), strict=True)) == [
        (text, question) for text in ("other", "same") for question in ("q0", "q1")
    ]
    for side, frame in (("initial", answers), ("correction", pairs)):
        rows, of = frame[f"{side}_text_row"], dict(zip(("initial", "correction"), tables_, strict=True))[side]
        assert [found[row] for row in rows] == of["text"].to_pylist()
        assert [questions[row] for row in rows] == frame["question_row"].to_list()
