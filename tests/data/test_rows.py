import datetime
import decimal
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data.__main__ import as_table
from data.rows import Reading, further_column, has_scorable_token, read_questions, text_key
from data.tables import MAX_BYTES
from data.unpacking import BadRow
from filtering.rewards.normalize import NORMALIZED
from store.schemas import QUESTIONS
from store.shards import decode_shard, encode_shard

COLUMNS = {"id": ["id"], "question": ["question"], "answers": ["answers", "answer.aliases", "answer"]}


def read(*records: object, marker: str | None = None) -> Reading:
    content = "\n".join(json.dumps(record) for record in records).encode()
    return read_questions("file.jsonl", content, "jsonl", "demo", COLUMNS, marker)


def code(record: object, marker: str | None = None) -> str:
    reading = read(record, marker=marker)
    [row] = reading.quarantined
    assert (row.file, row.line, reading.num_rows, reading.questions) == ("file.jsonl", 1, 1, [])
    return row.code


@pytest.mark.parametrize(
    "record, expected",
    [
        ({"answers": ["me"]}, "MISSING_FIELD"),
        ({"question": None, "answers": ["me"]}, "MISSING_FIELD"),
        ({"question": 7, "answers": ["me"]}, "NOT_STRING"),
        ({"question": {"text": "who"}, "answers": ["me"]}, "NOT_STRING"),
        ({"question": "", "answers": ["me"]}, "EMPTY_QUESTION"),
        ({"question": " \t\u200b\u3000", "answers": ["me"]}, "EMPTY_QUESTION"),
        ({"question": "who"}, "EMPTY_ANSWERS"),
        ({"question": "who", "answers": None}, "EMPTY_ANSWERS"),
        ({"question": "who", "answers": []}, "EMPTY_ANSWERS"),
        ({"question": "who", "answers": ["", " "]}, "EMPTY_ANSWERS"),
        ({"question": "who", "answers": {"a": "me"}}, "NOT_STRING"),
        ({"question": ["who", "what"], "answers": ["me"]}, "NOT_STRING"),
        ({"question": "who", "answer": "['me' 'you']"}, "NOT_STRING"),
        ({"question": "who", "answer": "['me', you']"}, "NOT_STRING"),
        ({"question": "who", "answers": "[]"}, "EMPTY_ANSWERS"),
        ({"question": "who\0", "answers": ["me"]}, "CONTROL_CHARACTER"),
        ({"question": "who \ud800", "answers": ["me"]}, "CONTROL_CHARACTER"),
        ({"question": "who", "answers": ["me", "\udfff"]}, "CONTROL_CHARACTER"),
        ({"question": "who", "answers": ["A+", "*", "The", "---"]}, "DEGENERATE_GOLD"),
        ({"question": "x" * (MAX_BYTES + 1), "answers": ["me"]}, "TOO_LONG"),
        ({"question": "é" * (MAX_BYTES // 2 + 1), "answers": ["me"]}, "TOO_LONG"),
        ({"question": "who", "answers": ["x" * 1000] * (MAX_BYTES // 1000 + 1)}, "TOO_LONG"),
        ({"id": "", "question": "who", "answers": ["me"]}, "BAD_ID"),
        ({"id": 1.5, "question": "who", "answers": ["me"]}, "BAD_ID"),
        ({"id": True, "question": "who", "answers": ["me"]}, "BAD_ID"),
        ({"id": "a\nb", "question": "who", "answers": ["me"]}, "BAD_ID"),
        ({"id": "a\u202eb", "question": "who", "answers": ["me"]}, "BAD_ID"),
        ({"id": " a", "question": "who", "answers": ["me"]}, "BAD_ID"),
        ({"id": "x" * 201, "question": "who", "answers": ["me"]}, "BAD_ID"),
    ],
)
def test_a_row_that_cannot_be_used_is_quarantined_with_its_reason(record, expected):
    assert code(record) == expected


def test_gold_aliases_that_normalize_to_nothing_are_dropped_and_listed():
    reading = read({"question": "grade?", "answers": ["A+", "A plus", "", "*"]})
    [question] = reading.questions
    assert question.answers == ["A plus"]
    assert [(row.line, row.detail) for row in reading.dropped_aliases] == [(1, "'A+'"), (1, "''"), (1, "'*'")]


@pytest.mark.parametrize(
    "record, answers",
    [
        ({"question": "who", "answer": "me"}, ["me"]),
        ({"question": "who", "answer": ["me", "you"]}, ["me", "you"]),
        ({"question": "who", "answer": {"value": "me", "aliases": ["me", "I"]}}, ["me", "I"]),
        ({"question": "who", "answer": "ignored", "answers": ["me"]}, ["me"]),
        ({"question": "who", "answer": "me", "answers": []}, ["me"]),
        ({"question": "who", "answer": "me", "answers": ["", " "]}, ["me"]),
        ({"question": "who", "answers": "me"}, ["me"]),
        ({"question": "who", "answers": ["me", None, ["I"]]}, ["me", "I"]),
        ({"question": "who", "answers": "['me', \"it's\"]"}, ["me", "it's"]),
        ({"question": "who", "answers": '["me", "you"]'}, ["me", "you"]),
        ({"question": "which interval", "answer": "[0, 1]"}, ["[0, 1]"]),
        ({"question": "how many", "answer": 7}, ["7"]),
        ({"question": "how many", "answers": [3.0, 2.5, "2"]}, ["3", "2.5", "2"]),
        ({"question": "is it", "answer": True}, ["yes", "true"]),
        ({"question": "is it", "answer": False}, ["no", "false"]),
    ],
)
def test_gold_answers_come_in_the_shapes_of_the_public_data_sets(record, answers):
    assert read(record).questions[0].answers == answers


@pytest.mark.parametrize(
    "names, record, answers",
    [
        ("answer+answer_aliases", {"answer": "red", "answer_aliases": ["crimson", "red"]}, ["red", "crimson"]),
        ("answer+answer_aliases", {"answer": None, "answer_aliases": ["crimson"]}, ["crimson"]),
        ("answers.text", {"answers": {"text": ["red", "blue"], "answer_start": [0, 3]}}, ["red", "blue"]),
        ("answers.text", {"answers": [{"text": "red", "answer_start": 0}, {"text": "blue"}]}, ["red", "blue"]),
        ("answers.text", {"answers": '{"text": ["red"], "answer_start": [0]}'}, ["red"]),
        ("answers.text", {"answers.text": "red"}, ["red"]),
        ("a.answer+a.pairs.answer", {"a": [{"answer": ["red"]}, {"pairs": [{"answer": ["a b"]}]}]}, ["red", "a b"]),
    ],
)
def test_names_reach_into_structs_and_lists_and_join_columns(names, record, answers):
    line = json.dumps({"question": "which"} | record).encode()
    columns = {"id": [], "question": ["question"], "answers": [names]}
    assert read_questions("f", line, "jsonl", "demo", columns, None).questions[0].answers == answers


def test_structs_are_refused_with_the_names_that_reach_into_them():
    [row] = read({"question": "who", "answers": [{"text": "red", "answer_start": 0}]}).quarantined
    assert row.code == "NOT_STRING" and "answers.text, answers.answer_start" in row.detail


def test_the_gold_of_a_worked_answer_follows_its_last_marker():
    worked = {"question": "2 * 2?", "answer": "2 #### 3 is wrong\n2 * 2 = 4\n#### 4"}
    assert read(worked, marker="####").questions[0].answers == ["4"]
    assert code({"question": "2 * 2?", "answer": "four"}, marker="####") == "EMPTY_ANSWERS"


@pytest.mark.parametrize(("worked", "gold"), [
    (r"so $x = \boxed{3}$.", "3"),
    (r"not \boxed{2}, but $\boxed{\frac{1}{\sqrt{2}}}$, as $\frac{1}{2} < 1$", r"\frac{1}{\sqrt{2}}"),
    (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
    (r"\boxed{\left\{ x : x > 0 \right\}} }", r"\left\{ x : x > 0 \right\}"),
    (r"\boxed{3", "3"),
])  # fmt: skip
def test_the_gold_of_a_solution_is_what_is_in_the_braces_of_its_last_box(worked, gold):
    assert read({"question": "x?", "answer": worked}, marker="\\boxed{").questions[0].answers == [gold]


def test_a_question_may_be_of_several_columns():
    line = json.dumps({"Body": "Two and two.", "Question": "How many?", "Answer": 4.0}).encode()
    columns = {"id": [], "question": ["Body+Question"], "answers": ["Answer"]}
    [question] = read_questions("f", line, "jsonl", "demo", columns, None).questions
    assert (question.question, question.answers) == ("Two and two.\nHow many?", ["4"])


def test_a_source_id_is_kept_and_a_missing_one_is_made_from_the_content():
    record = {"question": "who", "answers": ["me"]}
    own, number, made = read(record | {"id": "q-1"}, record | {"id": 7}, record).questions
    assert (own.question_id, number.question_id) == ("q-1", "7")
    assert made.question_id.startswith("demo-") and len(made.question_id) == len("demo-") + 16
    assert made.question_id == read({"answers": ["me"], "question": "who"}).questions[0].question_id
    assert made.question_id != read({"question": "who", "answers": ["you"]}).questions[0].question_id


SPECIAL = ["<|im_start|>system", "<|im_end|>", "<s>", "</s>", "[INST]", "<|endoftext|>", "Final Answer: 7", "=1+1"]
ODD = ["\u202eabc\u202c", "e" + "\u0301" * 10_000, "שלום", "👩‍👩‍👧", "é", "e\u0301", "\x1b[31mred", "tab\tnew\nline\r"]


@settings(deadline=None)  # a shared machine may stall for longer than any example takes
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
@example("".join(SPECIAL))
@example("".join(ODD))
def test_texts_are_kept_byte_for_byte_through_reading_and_parquet(text):
    [question] = read({"question": f"q {text}", "answers": [f"a1 {text}"]}).questions
    content = encode_shard(as_table([question], "test", "demo"), QUESTIONS, {})
    [row] = decode_shard(content, Path("shard"), QUESTIONS)[0].to_pylist()
    assert (row["question"], row["answers"]) == (f"q {text}", [f"a1 {text}"])


@settings(deadline=None)  # a shared machine may stall for longer than any example takes
@given(st.text(st.sampled_from("aAnNtThHeE +-*_'.’“\u0301\u037e\u1fef\u200bÀΩ™🚁１") | st.characters(), max_size=8))
@example("The")
@example("a\u0301")
@example("\u212b")
def test_an_alias_is_scorable_exactly_when_the_reward_keeps_something_of_it(alias):
    assert has_scorable_token(alias) == (NORMALIZED([alias]) != [" "])


@settings(deadline=None)  # a shared machine may stall for longer than any example takes
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_nfc_and_nfd_spellings_have_one_key(text):
    assert text_key(unicodedata.normalize("NFC", text)) == text_key(unicodedata.normalize("NFD", text))


def test_keys_ignore_case_punctuation_articles_and_spacing_but_no_letter_of_any_script():
    assert text_key("Who is the  Queen?") == text_key("who is queen")
    assert text_key("कि") != text_key("का"), "combining vowels are letters of their scripts"
    assert text_key("???") == "???" and text_key("The") == "The"


@pytest.mark.parametrize(("value", "stored"), [
    ("x", '"x"'), (["é", {"a": None}], '["é", {"a": null}]'), (None, "null"), (float("nan"), "null"), (2, "2"),
    (datetime.date(2024, 2, 29), '"2024-02-29"'), (decimal.Decimal("1.50"), '"1.50"'), ("\\u0000", '"\\\\u0000"'),
])  # fmt: skip
def test_further_columns_are_kept_as_json(value, stored):
    assert further_column({"level": value}, "level") == stored


@pytest.mark.parametrize(("record", "expected"), [
    ({"other": 1}, "MISSING_FIELD"), ({"level": b"x"}, "NOT_JSON"), ({"level": [float("inf")]}, "NOT_JSON"),
    ({"level": "a\0"}, "NOT_JSON"), ({"level": "\ud800"}, "NOT_JSON"), ({"level": "x" * MAX_BYTES}, "TOO_LONG"),
])  # fmt: skip
def test_a_further_column_that_cannot_be_kept_has_a_code(record, expected):
    with pytest.raises(BadRow) as error:
        further_column(record, "level")
    assert error.value.code == expected


def test_rows_that_differ_in_a_further_column_are_different_questions():
    content = b"".join(b'{"question": "who", "answers": ["me"], "level": %d}\n' % level for level in (1, 2))
    more = read_questions("f", content, "jsonl", "demo", COLUMNS | {"more": ["level"]}, None)
    assert [question.more for question in more.questions] == [{"level": "1"}, {"level": "2"}]
    assert len({question.question_id for question in more.questions}) == 2
    plain = read_questions("f", content, "jsonl", "demo", COLUMNS, None)
    assert len({question.question_id for question in plain.questions}) == 1
