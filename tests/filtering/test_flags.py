"""Flags point at correct answers that may not be meant, and at questions whose gold answer is no test."""

import pytest

from filtering import flags
from filtering.rewards.texts import Golds, Texts

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


def text_flags(texts: list[str], aliases: list[str], expects_marker: bool = False) -> list[list[str]]:
    found = flags.text_flags(Texts(texts), Golds([aliases] * len(texts)), expects_marker)
    return [[flag for flag, rows in found.items() if rows[row]] for row in range(len(texts))]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_of_a_text(text, expected):
    assert text_flags([text], ["Paris"]) == [expected]


def test_of_a_column_of_texts():
    texts, expected = zip(*TEXTS, strict=True)
    assert text_flags(list(texts), ["Paris"]) == list(expected)


def test_a_gold_answer_that_is_a_list_is_no_enumeration():
    assert text_flags(["red, white and blue"], ["red, white and blue"]) == [[]]


def test_every_alias_that_is_found_must_be_negated():
    texts = ["not Paris", "not Paris, Texas", "Texas, not Paris"]
    assert text_flags(texts, ["Paris", "Texas"]) == [["negation"], ["negation"], []]


def test_a_missing_marker_counts_where_the_prompt_asks_for_one():
    assert text_flags(["Paris", "Final Answer: Paris"], ["Paris"], expects_marker=True) == [["no_final_answer"], []]


@pytest.mark.parametrize(("alias", "expected"), [
    ("Paris", []),
    ("France", ["gold_in_question"]),
    ("A+", ["degenerate_gold"]),
    ("*", ["degenerate_gold"]),
    (")", ["degenerate_gold"]),
    ("---", ["degenerate_gold"]),
])  # fmt: skip
def test_of_a_question(alias, expected):
    found = flags.question_flags(["what is the capital of france"], Golds([["Paris", alias]]))
    assert [flag for flag, rows in found.items() if rows[0]] == expected
