"""Flags point at right answers that may not be meant, and at questions whose gold answer is no test."""

import pytest

from filtering.flags import question_flags, text_flags

TEXTS = [
    ("Paris", []),
    ("not Paris", ["negation"]),
    ("It is not in Paris.", ["negation"]),
    ("It isn't Paris.", ["negation"]),
    ("not London but Paris", []),
    ("Not Paris? Yes, it was Paris.", []),
    ("not London", []),
    ("London, Paris, or Rome", ["enumeration"]),
    ("1. London\n2. Paris\n3. Rome", ["enumeration"]),
    ("London, Madrid or Rome", []),
    ("Paris, the city on the river that flows to the sea, and nowhere else", []),
    ("Not London, Paris, or Rome", ["negation", "enumeration"]),
    ("Paris or Rome?\nFinal Answer: Paris", []),
    ("", ["no_final_answer"]),
    ("Paris, Rome, Bonn\nFinal Answer:", ["no_final_answer"]),
]


@pytest.mark.parametrize(("text", "flags"), TEXTS)
def test_of_a_text(text, flags):
    assert text_flags(text, ["Paris"], expects_marker=False) == flags


def test_a_gold_answer_that_is_a_list_is_no_enumeration():
    assert text_flags("red, white and blue", ["red, white and blue"], expects_marker=False) == []


def test_a_missing_marker_counts_where_the_prompt_asks_for_one():
    assert text_flags("Paris", ["Paris"], expects_marker=True) == ["no_final_answer"]
    assert text_flags("Final Answer: Paris", ["Paris"], expects_marker=True) == []


@pytest.mark.parametrize(("alias", "flags"), [
    ("Paris", []),
    ("France", ["gold_in_question"]),
    ("A+", ["degenerate_gold"]),
    ("*", ["degenerate_gold"]),
    (")", ["degenerate_gold"]),
    ("---", ["degenerate_gold"]),
])  # fmt: skip
def test_of_a_question(alias, flags):
    assert question_flags("what is the capital of france", ["Paris", alias]) == flags
