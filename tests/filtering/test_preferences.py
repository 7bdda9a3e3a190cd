"""Preference data: exactly the pairs that the equation gives, from any layout; and TRL trains on the files."""

import random
import shutil

import pyarrow as pa
import pytest

from filtering.__main__ import filter_iteration
from filtering.preferences import prefer
from filtering.source import Source
from store.errors import CorruptArtifact, FingerprintMismatch
from store.fingerprint import stable_hash
from store.schemas import CORRECTIONS, DPO, INITIAL_ANSWERS, KTO
from store.shards import iter_shards, read_manifest
from tests.filtering.conftest import write_stage
from tests.filtering.hand_made import HELD_OUT, NUM_CORRECTIONS, SETTINGS, TRAIN, files
from tests.filtering.test_recipes import GIVEN, VERDICTS

# What the fixture TRAIN holds by prompt, correct and incorrect, written out by hand: "Paris..." is truncated, "" is
# empty, "one" occurs twice, "not Paris" scores, "A+" normalizes to nothing and does not.
USABLE = {
    ("q0", "initial_answer", ""): ({"Paris"}, {"Rome"}),
    ("q0", "correction", "Rome"): ({"Paris"}, {"Rome"}),
    ("q0", "correction", "Paris"): ({"Paris", "not Paris"}, set()),
    ("q1", "initial_answer", ""): ({"Paris"}, {"Bonn"}),
    ("q1", "correction", "Paris"): (set(), {"Rome"}),
    ("q1", "correction", "Bonn"): (set(), {"Bonn"}),
    ("q2", "initial_answer", ""): (set(), {"A+", "two"}),
    ("q2", "correction", "A+"): ({"one"}, set()),
    ("q2", "correction", "two"): ({"six, ten, one"}, {"*"}),
}
QUESTION = {question_id: question for question_id, question, *_ in TRAIN}


@pytest.fixture
def run(make_run):
    return filtered(make_run({"train": TRAIN, "test": HELD_OUT}))


def filtered(run, num_corrections=NUM_CORRECTIONS):
    filter_iteration(Source(run, 0, num_corrections), SETTINGS, 0)
    return run


def source(run) -> Source:
    return Source(run, 0, NUM_CORRECTIONS)


def rows(run, kind: str) -> list[dict]:
    folder, schema = run.iteration(0).preferences, {"dpo": DPO, "kto": KTO}[kind]
    return [row for _, table in iter_shards(folder, read_manifest(folder), kind, schema) for row in table.to_pylist()]


def content(chat: list[dict]) -> str:
    [turn] = chat
    assert turn["role"] == "assistant"
    return turn["content"]


def asked(row: dict) -> tuple[str, str, str]:
    """The prompt of a row as a key of USABLE."""
    [turn] = row["prompt"]
    question = QUESTION[row["question_id"]]
    assert turn["role"] == "user" and turn["content"].startswith(question)
    return row["question_id"], row["turn"], turn["content"].removeprefix(question).strip()


def test_the_files_hold_exactly_the_pairs_of_the_equation(run):
    said = prefer(source(run), seed=0, per_prompt=5)
    pairs = [(*asked(row), content(row["chosen"]), content(row["rejected"])) for row in rows(run, "dpo")]
    assert sorted(pairs) == [
        ("q0", "correction", "Rome", "Paris", "Rome"),
        ("q0", "initial_answer", "", "Paris", "Rome"),
        ("q1", "initial_answer", "", "Paris", "Bonn"),
        ("q2", "correction", "two", "six, ten, one", "*"),
    ]
    texts = {(*asked(row), content(row["completion"]), row["label"]) for row in rows(run, "kto")}
    assert texts == {
        (*prompt, text, label)
        for prompt, sides in USABLE.items()
        for label, some in zip((True, False), sides, strict=True)
        for text in some
    }
    assert said == (
        "2 pairs from corrections, 2 from initial answers; 7 correct and 8 incorrect texts; of 9 prompts 2 had only "
        "correct texts, 3 only incorrect ones"
    )
    assert read_manifest(run.iteration(0).preferences).written == 4 + 15


def test_the_keys_are_those_of_the_samples(run):
    prefer(source(run), seed=0, per_prompt=5)
    texts = {(q, j, -1): y1 for q, _, _, answers in TRAIN for j, (y1, _) in enumerate(answers)}
    texts |= {(q, j, k): y2 for q, _, _, answers in TRAIN for j, (_, some) in enumerate(answers)
              for k, y2 in enumerate(some)}  # fmt: skip
    for row in rows(run, "kto"):
        assert texts[row["question_id"], row["init_index"], row["corr_index"]] == content(row["completion"])
    for row in rows(run, "dpo"):
        for side in ("chosen", "rejected"):
            key = row["question_id"], row[f"{side}_init_index"], row[f"{side}_corr_index"]
            assert texts[key] == content(row[side])


# Three equal initial answers are one prompt; its corrections are those of all three.
MANY = [
    ("q0", "name a number", ["1", "2", "3"], [("0", ["1", "2", "7"]), ("0", ["2", "8", "9"]), ("0", ["3", "6", "7"])])
]


@pytest.mark.parametrize("per_prompt", [1, 2, 9])
def test_the_draw_is_that_of_the_hash_and_no_text_is_in_two_pairs(make_run, per_prompt):
    run = filtered(make_run({"train": MANY}), {"train": 3})
    prefer(Source(run, 0, {"train": 3}), seed=4, per_prompt=per_prompt)
    first = {"1": (0, 0), "2": (0, 1), "7": (0, 2), "8": (1, 1), "9": (1, 2), "3": (2, 0), "6": (2, 1)}
    ordered = sorted(first, key=lambda text: stable_hash(4, "preferences", "q0", *first[text]))
    correct, incorrect = ([text for text in ordered if (text in "123") == label] for label in (True, False))
    pairs = [(content(row["chosen"]), content(row["rejected"])) for row in rows(run, "dpo")]
    expected = list(zip(correct, incorrect, strict=False))[:per_prompt]
    assert sorted(pairs) == sorted(expected) and len(pairs) == min(per_prompt, 3)
    corrections = [row for row in rows(run, "kto") if row["turn"] == "correction"]
    labels = {
        label: [content(row["completion"]) for row in corrections if row["label"] == label] for label in (True, False)
    }
    assert sorted(labels[True]) == sorted(correct[:per_prompt])
    assert sorted(labels[False]) == sorted(incorrect[:per_prompt])


def test_the_bound_is_of_a_prompt_not_of_a_question(run):
    prefer(source(run), seed=0, per_prompt=1)
    labels = {(asked(row), row["label"]) for row in rows(run, "kto")}
    assert len(labels) == len(rows(run, "kto"))
    assert labels == {(prompt, i == 0) for prompt, sides in USABLE.items() for i, some in enumerate(sides) if some}
    both = [prompt for prompt, (right, wrong) in USABLE.items() if right and wrong]
    assert sorted(asked(row) for row in rows(run, "dpo")) == sorted(both)


def test_neither_shards_nor_the_order_of_rows_nor_processes_change_a_row(make_run, tmp_path):
    found, bytes_of = [], []
    for size in (1, 2, 3):
        run = filtered(make_run({"train": TRAIN, "test": HELD_OUT}, shard_size=size, name=f"size-{size}"))
        prefer(source(run), seed=0, per_prompt=1)
        found.append((rows(run, "dpo"), rows(run, "kto")))
    shuffled = make_run({"train": TRAIN, "test": HELD_OUT}, shard_size=3, name="shuffled")
    shuffle(shuffled)
    prefer(source(filtered(shuffled)), seed=0, per_prompt=1)
    found.append((rows(shuffled, "dpo"), rows(shuffled, "kto")))
    assert found[0] == found[1] == found[2] == found[3]
    for processes in (1, 2, 5):
        run = filtered(make_run({"train": TRAIN, "test": HELD_OUT}, shard_size=1, name=f"in-{processes}"))
        prefer(source(run), 0, 1, processes)
        bytes_of.append({name: value for name, value in files(run).items() if "/preferences/" in name})
    assert bytes_of[0] == bytes_of[1] == bytes_of[2] and len(bytes_of[0]) == 7


def shuffle(run) -> None:
    """Write the samples again with their rows in another order."""
    folder, extra = run.iteration(0), {}
    for part, schema in (("initial_answers", INITIAL_ANSWERS), ("corrections", CORRECTIONS)):
        manifest, tables = read_manifest(folder.dir / part), {}
        for split in ("train", "test"):
            some = [table for _, table in iter_shards(folder.dir / part, manifest, split, schema)]
            orders = [random.Random(3).sample(range(len(table)), len(table)) for table in some]
            tables[split] = [table.take(pa.array(order)) for table, order in zip(some, orders, strict=True)]
        shutil.rmtree(folder.dir / part)
        extra = {"initial_answers": write_stage(folder.dir / part, part, tables, schema, extra).digest}


def test_gold_answers_and_held_out_questions_stay_out(make_run):
    train = [("q0", "who", ["a golden answer"], [("a golden answer", ["a golden answer", "x"]), ("y", ["x", "z"])])]
    test = [("t0", "what", ["b"], [("b", ["b"]), ("c", ["b"])])]
    run = filtered(make_run({"train": train, "test": test}))
    prefer(source(run), seed=0, per_prompt=9)
    assert {row["question_id"] for kind in ("dpo", "kto") for row in rows(run, kind)} == {"q0"}
    asked = {row["prompt"][0]["content"] for kind in ("dpo", "kto") for row in rows(run, kind)}
    assert asked == {"who", "who a golden answer", "who y"}  # the second has it for its own initial answer


def test_a_thought_alone_is_empty_and_texts_stay_raw(make_run):
    thought = "<think>Rome? No.</think>"
    run = filtered(make_run({"train": [("q0", "capital", ["Rome"], [("x", [thought, f"{thought}Rome"])])]}))
    prefer(source(run), seed=0, per_prompt=9)
    corrections = [content(row["completion"]) for row in rows(run, "kto") if row["turn"] == "correction"]
    assert corrections == [f"{thought}Rome"]


def test_no_usable_pair_is_said(make_run):
    run = filtered(make_run({"train": [("q0", "capital", ["Rome"], [("Bonn", ["", "Rome..."])])]}))
    said = prefer(source(run), seed=0, per_prompt=1)
    assert said.startswith(
        "0 pairs from corrections, 0 from initial answers; 0 correct and 1 incorrect texts; of 1 prompts"
    )
    assert "N_INIT=" in said and prefer(source(run), seed=0, per_prompt=1) == f"complete, {said}"
    assert (rows(run, "dpo"), len(rows(run, "kto"))) == ([], 1)
    assert [path.name for path in run.iteration(0).preferences.glob("*.parquet")] == ["kto-00000.parquet"]
    empty = filtered(make_run({"train": [("q0", "capital", ["Rome"], [("", [" ", "..."])])]}, name="empty"))
    assert prefer(source(empty), seed=0, per_prompt=1).startswith("0 pairs")
    assert read_manifest(empty.iteration(0).preferences).written == 0


def test_finished_work_is_skipped_missing_files_come_back_and_other_bounds_are_refused(run):
    said = prefer(source(run), 0, 1)
    before = files(run)
    assert prefer(source(run), 0, 1) == f"complete, {said}"
    for path in sorted(run.iteration(0).preferences.iterdir()):
        path.unlink()
        assert prefer(source(run), 0, 1) == said
        assert files(run) == before
    with pytest.raises(FingerprintMismatch, match=r"per_prompt: 1 -> 2\nMove it away, or give the old settings"):
        prefer(source(run), 0, 2)
    assert files(run) == before


def test_other_trajectories_move_the_old_preferences_aside(run):
    prefer(source(run), 0, 1)
    shutil.rmtree(run.iteration(0).trajectories)
    threshold = SETTINGS.scoring.__class__(["in_accuracy_final", "token_f1"], "token_f1", 0.6, expects_marker=False)
    filter_iteration(source(run), SETTINGS.__class__(**{**vars(SETTINGS), "scoring": threshold, "filter": "none"}), 0)
    prefer(source(run), 0, 1)
    assert [path.name for path in run.iteration(0).dir.glob(".preferences*")] == [".preferences.superseded-00"]
    labels = {content(row["completion"]): row["label"] for row in rows(run, "kto")}
    assert labels["Paris"] and not labels["six, ten, one"]  # token F1 of 0.5 for the one of three words


def test_trajectories_of_other_samples_are_refused(make_run):
    run = filtered(make_run({"train": TRAIN, "test": HELD_OUT}))
    shuffle(run)
    with pytest.raises(
        CorruptArtifact, match="made from other samples: run `python -m filtering run=demo iteration=0`"
    ):
        prefer(source(run), 0, 1)


@pytest.mark.parametrize("table", ["trajectories", "initial_answers", "corrections", "preferences"])
def test_a_flipped_bit_is_refused_by_name(run, table):
    if table == "preferences":
        prefer(source(run), 0, 1)
        (run.iteration(0).preferences / "_MANIFEST.json").unlink()
    path = sorted((run.iteration(0).dir / table).glob("*.parquet"))[0 if table == "preferences" else -1]
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptArtifact, match=path.name):
        prefer(source(run), 0, 1)


def test_a_correct_text_behind_a_wrong_verdict_is_in_neither(make_run):
    run = make_run({"train": GIVEN, "test": HELD_OUT})
    source = Source(run, 0, {"train": 4, "validation": 1, "test": 1})
    filter_iteration(source, VERDICTS, 0)
    prefer(source, 0, 9)
    labels = {(row["question_id"], content(row["completion"]), row["label"]) for row in rows(run, "kto")}
    corrections = {label for label in labels if label[0] == "q0" and label[1] not in ("Paris", "Rome")}
    assert corrections == {
        ("q0", "Yes", True), ("q0", "No. Rome", False), ("q0", "No. Paris", True), ("q0", "Yes", False),
        ("q0", "No. Bonn", False),
    }  # fmt: skip
    [pair] = [row for row in rows(run, "dpo") if content(row["chosen"]) == "No. Paris"]
    assert pair["prompt"][-1]["content"] == "capital of france Rome"  # not to the prompt that shows Paris
