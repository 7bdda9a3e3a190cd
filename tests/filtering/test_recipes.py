"""Recipes beside the paper's: each keeps and drops exactly the rows of its equation, and trains the sampled tokens."""

from collections import Counter
from dataclasses import replace

import polars as pl
import pyarrow as pa
import pytest

from filtering.__main__ import filter_iteration
from filtering.filters import Options
from filtering.metrics import INITIAL_CORRECT
from filtering.source import Source
from filtering.verdicts import answered, read
from store.run import Run
from store.schemas import CORRECTIONS, SFT, sft, trajectories
from store.shards import iter_shards, read_manifest, read_shard, write_shard
from tests.filtering.conftest import STOP
from tests.filtering.hand_made import HELD_OUT, SETTINGS

YES_NO = {"keep": "Yes", "replace": "No"}
VERDICTS = replace(SETTINGS, scoring=replace(SETTINGS.scoring, verdict=YES_NO))


def table(run: Run, folder: str, schema: pa.Schema, split: str = "train") -> list[dict]:
    path = getattr(run.iteration(0), folder)
    return [row for _, rows in iter_shards(path, read_manifest(path), split, schema) for row in rows.to_pylist()]


def filtered(make_run, questions, settings, num_corrections=2, **made):
    """(train's pairs, rows to train on, metrics of train) of these samples; every completion is the sampled tokens."""
    run = make_run({"train": questions, "test": HELD_OUT}, **made)
    source = Source(run, 0, {"train": num_corrections, "validation": 1, "test": 1})
    metrics = filter_iteration(source, settings, 0)
    pairs = table(run, "trajectories", trajectories(settings.scoring.rewards, settings.scoring.verdict is not None))
    rows = table(run, "sft", sft(settings.is_mixed))
    for row in rows:
        [turn] = row["completion"]
        tokens = [token for token, mask in zip(row["input_ids"], row["completion_mask"], strict=True) if mask]
        assert tokens == [*(100 + ord(character) for character in turn["content"]), STOP]
        [asked] = row["prompt"]
        assert row["input_ids"][: -len(tokens)] == [1, *(100 + ord(character) for character in asked["content"])]
    assert len(rows) == read_manifest(run.iteration(0).sft).written
    return pairs, rows, metrics["splits"]["train"]


# Verdicts


@pytest.mark.parametrize(("text", "verdict", "behind"), [
    ("Yes", "keep", ""),
    (" yes.\n", "keep", ""),
    ("**YES**", "keep", ""),
    ("Yes, Paris", "keep", "Paris"),
    ("No. Paris", "replace", "Paris"),
    ("no - Paris", "replace", "Paris"),
    ("\"No\": -5", "replace", "-5"),
    ("NO!\nParis", "replace", "Paris"),
    ("No", "replace", ""),
    ("<think>\nYes. Hm.\n</think>\nNo. Paris", "replace", "Paris"),
    ("No.-5", "replace", "-5"),
    ("No.\\frac12", "replace", "\\frac12"),
    ("No.(1,2)", "replace", "(1,2)"),
    ("No\r\nParis", "replace", "Paris"),
    ("No\u00a0— Paris", "replace", "Paris"),
    ("No-one knows", "missing", "No-one knows"),
    ("Yes-man", "missing", "Yes-man"),
    ("No's", "missing", "No's"),
    ("No one knows", "missing", "No one knows"),
    ("Yesterday", "missing", "Yesterday"),
    ("Not Paris", "missing", "Not Paris"),
    ("Nein. Paris", "missing", "Nein. Paris"),
    ("Paris", "missing", "Paris"),
    ("", "missing", ""),
])  # fmt: skip
def test_a_verdict_is_the_first_word_with_a_mark_behind_it(text, verdict, behind):
    assert read([text], YES_NO) == ([verdict], [behind])


def test_the_words_are_the_prompts():
    assert read(["Nein. Paris", "Ja", "No. Paris"], {"keep": "Ja", "replace": "Nein"})[0] == [
        "replace",
        "keep",
        "missing",
    ]
    assert read(["是。"], {"keep": "是", "replace": "否"}) == (["keep"], [""])


def test_what_is_scored_is_the_kept_or_the_new_answer():
    corrections = pa.table({
        "initial_answer": ["Paris", "Rome", "Rome", "Paris", "Paris", "Paris", "Paris"],
        "text": ["Yes", "No. Paris", "Paris", "Yes. Rome", "Yes, paris!", "No. Paris", "No."],
    })  # fmt: skip
    texts, columns = answered(corrections, YES_NO)
    assert texts["text"].to_pylist() == ["Paris", "Paris", "", "Paris", "Paris", "Paris", ""]
    assert columns["contradicted"].to_list() == [False, False, False, True, False, True, True]


GIVEN = [
    ("q0", "capital of france", ["Paris"], [
        ("Paris", ["Yes", "No. Paris", "No. Rome", "Paris"]),
        ("Rome", ["No. Paris", "Yes", "No. Bonn", "No. Rome"]),
    ]),
    ("q1", "capital of italy", ["Rome"], [("Rome", ["Yes. Bonn", "No. It is Rome", "Yes, Rome", "Yes..."])]),
]  # fmt: skip


def test_yes_on_a_correct_and_no_with_a_correct_answer_on_an_incorrect_one_are_trained(make_run):
    pairs, rows, train = filtered(make_run, GIVEN, VERDICTS, num_corrections=4)
    assert [(row["initial_answer"], row["correction"], row["transition"], row["reason"]) for row in pairs] == [
        ("Paris", "Yes", "c->c", "kept_correct"),
        ("Paris", "No. Paris", "c->c", "wrong_verdict"),
        ("Paris", "No. Rome", "c->i", "wrong_verdict"),
        ("Paris", "Paris", "c->i", "wrong_verdict"),
        ("Rome", "No. Paris", "i->c", "improving"),
        ("Rome", "Yes", "i->i", "incorrect_twice"),
        ("Rome", "No. Bonn", "i->i", "incorrect_twice"),
        ("Rome", "No. Rome", "i->i", "wrong_verdict"),
        ("Rome", "Yes. Bonn", "c->c", "wrong_verdict"),
        ("Rome", "No. It is Rome", "c->c", "wrong_verdict"),
        ("Rome", "Yes, Rome", "c->c", "kept_correct"),
        ("Rome", "Yes...", "c->c", "truncated"),
    ]
    assert [row["completion"][0]["content"] for row in rows] == ["Yes", "No. Paris", "Yes, Rome"]
    assert [row["correction_final_answer"] for row in pairs[:4]] == ["paris", "paris", "rome", ""]
    assert [row["is_copy"] for row in pairs[:2]] == [True, True]
    told, replaced, incorrect = 3, 6, 4
    assert train["verdicts"] == {
        "keep": 5, "replace": 6, "missing": 1, "contradicted": 3,
        "precision": told / replaced, "recall": told / incorrect,
    }  # fmt: skip


@pytest.mark.parametrize(("texts", "expected"), [
    (["Yes", "Yes"], {"keep": 2, "replace": 0, "missing": 0, "contradicted": 0, "precision": None, "recall": 0.0}),
    (["No. A", "No. B"], {"keep": 0, "replace": 2, "missing": 0, "contradicted": 0, "precision": 1.0, "recall": 1.0}),
    (["Paris", ""], {"keep": 0, "replace": 0, "missing": 2, "contradicted": 0, "precision": None, "recall": 0.0}),
])  # fmt: skip
def test_a_model_that_says_always_the_same_is_counted(make_run, texts, expected):
    _, rows, train = filtered(make_run, [("q", "capital of france", ["Paris"], [("Rome", texts)])], VERDICTS)
    assert (train["verdicts"], rows) == (expected, [])
    assert train["t2"] == 0.0


def test_precision_without_an_incorrect_answer_has_no_recall(make_run):
    _, _, train = filtered(make_run, [("q", "capital of france", ["Paris"], [("Paris", ["No. A", "Yes"])])], VERDICTS)
    assert (train["verdicts"]["precision"], train["verdicts"]["recall"]) == (0.0, None)


def test_an_initial_answer_is_correct_by_the_transition():
    rows = pl.DataFrame({"transition": ["i->c", "c->i", "c->c", "i->i"]})
    assert rows.select(INITIAL_CORRECT).to_series().to_list() == [False, True, True, False]


# Both turns

BOTH = replace(SETTINGS, trains_on="both", options=Options(first_turns=1.0))
TURNS = [
    ("q0", "capital of france", ["Paris"], [("Paris", ["Paris", "Rome"]), ("Rome", ["Paris", "Rome"])]),
    ("q1", "capital of italy", ["Rome"], [("Rome", ["Bonn", "Bonn"]), ("Rome", ["Bonn", "Bonn"])]),
    ("q2", "capital of spain", ["Madrid"], [("Madrid...", ["Bonn", "Bonn"]), ("Lisbon", ["Bonn", "Bonn"])]),
]


def first_turns(rows) -> list[tuple]:
    return [(row["question_id"], row["init_index"]) for row in rows if row["reason"] == "first_turn"]


def test_correct_initial_answers_are_trained_beside_the_corrections_one_to_one(make_run):
    _, rows, train = filtered(make_run, TURNS, BOTH)
    kept = [row for row in rows if row["reason"] != "first_turn"]
    assert [(row["question_id"], row["init_index"], row["corr_index"]) for row in kept] == [("q0", 0, 0), ("q0", 1, 0)]
    assert len(first_turns(rows)) == 2
    assert set(first_turns(rows)) < {("q0", 0), ("q1", 0), ("q1", 1)}  # correct and whole
    for row in rows:
        is_first = row["reason"] == "first_turn"
        question, answer = row["prompt"][0]["content"], row["completion"][0]["content"]
        assert question.endswith((" Paris", " Rome")) is not is_first
        assert answer in ("Paris", "Rome")
        assert (row["completion_init_index"], row["completion_corr_index"]) == (
            row["init_index"], -1 if is_first else row["corr_index"],
        )  # fmt: skip
    assert train["trained_rows"] == {"first_turn": 2, "improving": 1, "kept_correct": 1}
    assert train["num_kept"] == 2


@pytest.mark.parametrize(("ratio", "number"), [(0.5, 1), (1.5, 3), (9, 3), (0.4, 0)])
def test_the_ratio_of_first_turns_is_a_bound(make_run, ratio, number):
    _, rows, _ = filtered(make_run, TURNS, replace(BOTH, options=Options(first_turns=ratio)))
    assert len(first_turns(rows)) == number


def test_first_turns_without_duplicates(make_run):
    options = Options(first_turns=9, drop_duplicates=True)
    _, rows, _ = filtered(make_run, TURNS, replace(BOTH, options=options))
    assert first_turns(rows) == [("q0", 0), ("q1", 0)]


def test_a_shard_whose_initial_answers_alone_are_trained_has_rows(make_run):
    chosen = [filtered(make_run, TURNS, BOTH, shard_size=size, name=f"of_{size}")[1] for size in (1, 2, 3)]
    assert chosen[0] == chosen[1] == chosen[2]


# Siblings

SIBLINGS = replace(SETTINGS, options=Options(siblings=1.0))
FAMILY = [
    ("q0", "capital of france", ["Paris"], [
        ("Paris", ["Paris", "It is Paris"]), ("Rome", ["Rome", "Bonn"]), ("Bonn", ["In Paris", "Oslo"]),
    ]),
    # none of it is correct twice
    ("q1", "capital of italy", ["Rome"], [("Bonn", ["Rome", "Bonn"]), ("Oslo", ["Oslo", "Oslo"])]),
]  # fmt: skip


def siblings(rows) -> Counter:
    return Counter(
        (row["question_id"], row["prompt"][0]["content"], row["completion"][0]["content"])
        for row in rows
        if row["reason"] == "sibling"
    )


def test_incorrect_answers_are_corrected_by_correct_texts_of_their_question(make_run):
    _, rows, train = filtered(make_run, FAMILY, replace(SIBLINGS, options=Options(siblings=9)))
    rome, bonn = "capital of france Rome", "capital of france Bonn"
    assert siblings(rows) == Counter([
        ("q0", rome, "Paris"), ("q0", rome, "It is Paris"), ("q0", rome, "In Paris"), ("q0", bonn, "Paris"),
        ("q0", bonn, "It is Paris"),
    ])  # fmt: skip
    assert train["trained_rows"] == {"improving": 2, "kept_correct": 2, "sibling": 5}
    origins = {
        (row["completion"][0]["content"], row["completion_init_index"], row["completion_corr_index"])
        for row in rows
        if row["reason"] == "sibling"
    }
    assert {text for text, _, _ in origins} == {"Paris", "It is Paris", "In Paris"}
    assert origins & {("It is Paris", 0, 1), ("In Paris", 2, 0)} == {("It is Paris", 0, 1), ("In Paris", 2, 0)}


@pytest.mark.parametrize(("ratio", "number"), [(0.5, 1), (1, 2), (1.5, 3)])
def test_siblings_are_bounded_by_the_rows_of_their_question_that_are_correct_twice(make_run, ratio, number):
    _, rows, _ = filtered(make_run, FAMILY, replace(SIBLINGS, options=Options(siblings=ratio)))
    assert siblings(rows).total() == number


def test_a_sibling_of_a_verdict_is_a_new_answer(make_run):
    questions = [("q0", "capital of france", ["Paris"], [("Paris", ["Yes", "No. Paris"]), ("Rome", ["Yes", "Yes"]),
                                                          ("Oslo", ["No. In Paris", "Yes"])])]  # fmt: skip
    settings = replace(VERDICTS, options=Options(siblings=9))
    _, rows, _ = filtered(make_run, questions, settings)
    assert siblings(rows) == Counter([("q0", "capital of france Rome", "No. In Paris")])


def test_rows_of_recipes_do_not_depend_on_shards_or_on_order(make_run):
    settings = replace(SETTINGS, trains_on="both", options=Options(siblings=1.0, first_turns=0.5, drop_duplicates=True))
    ways = [(FAMILY, 1), (FAMILY, 2), (FAMILY[::-1], 1), (FAMILY[::-1], 2)]
    one, *others = (
        sorted(map(str, filtered(make_run, questions, settings, shard_size=size, name=f"way_{number}")[1]))
        for number, (questions, size) in enumerate(ways)
    )
    assert others == [one] * 3


def test_without_a_recipe_the_fingerprint_is_what_it_was():
    identity = SETTINGS.identity()
    assert not {"siblings", "first_turns"} & identity["options"].keys()
    assert "verdict" not in identity["scoring"]
    assert VERDICTS.identity()["scoring"]["verdict"] == YES_NO


# Aggregate


def test_rows_with_one_prompt_of_several_answers_are_one_with_drop_duplicates(make_run):
    """Three initial answers in one prompt, of which each has the same correction: one row, whichever it belongs to."""
    asked = "capital of france 1. Rome 2. Oslo 3. Bonn"
    questions = [("q", "capital of france", ["Paris"], [(answer, ["Paris"]) for answer in ("Rome", "Oslo", "Bonn")])]
    run = make_run({"train": questions, "test": HELD_OUT})
    path, manifest = run.iteration(0).corrections, read_manifest(run.iteration(0).corrections)
    (name,) = (name for name in manifest.shards if name.startswith("train"))
    samples, _ = read_shard(path / name)
    prompt = [[{"role": "user", "content": asked}]] * 3
    ids = [[1, *(100 + ord(character) for character in asked)]] * 3
    for column, values in (("prompt", prompt), ("prompt_token_ids", ids)):
        index, field = samples.schema.get_field_index(column), samples.schema.field(column)
        samples = samples.set_column(index, field, pa.array(values, field.type))
    (path / name).unlink()
    write_shard(path / name, samples, CORRECTIONS, {"stage": "corrections", "fingerprint": "test"})
    manifest.shards[name]["sha256"] = read_shard(path / name)[1]["sha256"]
    manifest.shards[name]["bytes"] = (path / name).stat().st_size
    manifest.write(path)
    options = Options(drop_duplicates=True)
    kept = {}
    for several in (None, 3):
        settings = replace(SETTINGS, options=options, num_answers=several)
        into = Run(f"into_{several}", run.root)
        filter_iteration(Source(run, 0, {"train": 1, "validation": 1, "test": 1}, into=into), settings, 0)
        kept[several] = len(table(into, "sft", SFT))
    assert kept == {None: 3, 3: 1}
