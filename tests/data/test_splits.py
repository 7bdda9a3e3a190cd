import random

import pytest

from data.rows import QuarantinedRow, Question, Reading
from data.splits import Part, draw, num_repeated, parts_of, position, without_duplicates
from store.errors import BadInput


def questions(file: str, *texts: str) -> Reading:
    made = [Question(f"{file}-{i}", text, [f"gold {i}"], file, i) for i, text in enumerate(texts, start=1)]
    return Reading(file, made, num_rows=len(made))


def numbered(file: str, count: int) -> Reading:
    return questions(file, *(f"{file} question number {i}" for i in range(count)))


def three_parts(size: int | None = None, validation: int | None = None) -> dict[str, Part]:
    return {
        "train": Part("pool", 0.3, 1.0, size),
        "validation": Part("pool", 0.0, 0.3, validation),
        "test": Part("test", 0.0, 1.0, None),
    }


def ids(drawn: list[Question]) -> list[str]:
    return [question.question_id for question in drawn]


def test_positions_are_uniform_and_depend_on_the_seed_and_the_words_alone():
    where = [position(f"question {i}", 0) for i in range(10_000)]
    assert all(0 <= p < 1 for p in where)
    assert all(abs(sum(p < q for p in where) / 10_000 - q) < 0.02 for q in (0.1, 0.25, 0.5, 0.9))
    assert position("question 1", 0) == where[1] != position("question 1", 1)


def test_a_smaller_draw_is_the_beginning_of_a_larger_one():
    readings = {"pool": numbered("pool", 1000), "test": numbered("test", 50)}
    small, _, _ = draw(readings, three_parts(100, 20), seed=0)
    large, available, _ = draw(readings, three_parts(500, 40), seed=0)
    assert ids(small["train"]) == ids(large["train"])[:100]
    assert ids(small["validation"]) == ids(large["validation"])[:20]
    assert sum(available.values()) == 1050 and available["test"] == 50


def test_a_draw_does_not_depend_on_the_order_or_the_other_rows_of_a_file():
    pool = numbered("pool", 400)
    drawn, _, _ = draw({"pool": pool, "test": numbered("test", 5)}, three_parts(), seed=0)
    shuffled = random.Random(1).sample(pool.questions, 400)
    again, _, _ = draw({"pool": Reading("pool", shuffled), "test": numbered("test", 5)}, three_parts(), seed=0)
    assert ids(again["train"]) == ids(drawn["train"])
    half, _, _ = draw({"pool": Reading("pool", shuffled[:200]), "test": numbered("test", 5)}, three_parts(), seed=0)
    assert set(ids(half["train"])) == set(ids(drawn["train"])) & {q.question_id for q in shuffled[:200]}


def test_another_seed_draws_other_questions():
    readings = {"pool": numbered("pool", 400), "test": numbered("test", 5)}
    zero, one = (draw(readings, three_parts(), seed)[0]["train"] for seed in (0, 1))
    assert set(ids(zero)) != set(ids(one))


def test_every_question_is_in_one_split_and_spellings_of_one_stay_together():
    texts = [spelling for i in range(300) for spelling in (f"Who is number {i}?", f"who is the number {i}")]
    readings = {"pool": questions("pool", *texts), "test": numbered("test", 1)}
    drawn, available, left_out = draw(readings, three_parts(), seed=0)
    keys = [{q.key for q in drawn[split]} for split in ("train", "validation")]
    assert not keys[0] & keys[1] and not left_out
    assert available["train"] + available["validation"] == 600
    assert num_repeated([*drawn["train"], *drawn["validation"]]) == 300


def test_a_question_in_two_files_stays_in_test_and_leaves_train():
    parts = {split: Part(split, 0.0, 1.0, None) for split in ("train", "validation", "test")}
    readings = {
        "train": questions("train", "who are you", "who am I", "what is it"),
        "validation": questions("validation", "What is it?", "where", "who are you?"),
        "test": questions("test", "Who are you?", "when"),
    }
    drawn, available, left_out = draw(readings, parts, seed=0)
    assert {split: sorted(q.question for q in drawn[split]) for split in drawn} == {
        "train": ["what is it", "who am I"],
        "validation": ["where"],
        "test": ["Who are you?", "when"],
    }
    assert available == {"train": 2, "validation": 1, "test": 2}
    assert {(row.file, row.line, row.code) for row in left_out} == {
        ("train", 1, "DUPLICATE"),
        ("validation", 1, "DUPLICATE"),
        ("validation", 3, "DUPLICATE"),
    }


def test_the_size_of_test_does_not_change_which_questions_train_loses():
    same = [f"question {i}" for i in range(100)]
    readings = {"pool": questions("pool", *same), "test": questions("test", *same[:40])}
    trains = []
    for size in (1, 40):
        parts = three_parts() | {"test": Part("test", 0.0, 1.0, size)}
        trains.append(ids(draw(readings, parts, seed=0)[0]["train"]))
    assert trains[0] == trains[1]


def row(file: str, line: int, question_id: str = "1", text: str = "who", answer: str = "me") -> Question:
    return Question(question_id, text, [answer], file, line)


def test_a_second_copy_of_a_row_is_quarantined_and_not_counted_as_bad():
    bad = QuarantinedRow("a.jsonl", 2, "BAD_JSON", "")
    reading = Reading("a.jsonl", [row("a.jsonl", 1), row("a.jsonl", 3), row("a.jsonl", 4, "2")], [bad], num_rows=4)
    result = without_duplicates({"a": reading})["a"]
    assert [q.line for q in result.questions] == [1, 4]
    assert [(r.line, r.code) for r in result.quarantined] == [(2, "BAD_JSON"), (3, "DUPLICATE")]
    assert result.num_bad == 1 and len(result.questions) + len(result.quarantined) == result.num_rows


def test_a_row_of_two_files_is_kept_in_both_for_the_splits_to_decide():
    readings = {name: Reading(name, [row(name, 1)], num_rows=1) for name in ("a", "b")}
    assert all(len(reading.questions) == 1 for reading in without_duplicates(readings).values())


@pytest.mark.parametrize("other", [row("b.jsonl", 9, text="what"), row("b.jsonl", 9, answer="you")])
def test_one_id_for_two_contents_is_refused_with_both_lines(other):
    readings = {"a": Reading("a.jsonl", [row("a.jsonl", 5)]), "b": Reading("b.jsonl", [other])}
    with pytest.raises(BadInput, match=r"a\.jsonl:5 and b\.jsonl:9 both have the id '1'") as error:
        without_duplicates(readings)
    assert error.value.exit_code == 4


def described(**intervals: list[float]) -> dict:
    splits = {split: {"file": "pool", "interval": interval} for split, interval in intervals.items()}
    return {"splits": splits, "files": {"pool": {}}, "train": 1, "validation": 1, "test": None}


def test_parts_follow_the_settings():
    parts = parts_of(described(train=[0.5, 1], validation=[0.25, 0.5], test=[0, 0.25]))
    assert parts == {
        "train": Part("pool", 0.5, 1, 1),
        "validation": Part("pool", 0.25, 0.5, 1),
        "test": Part("pool", 0, 0.25, None),
    }
