"""python -m filtering.golds: gold answers that a reward cannot use are refused before anything is generated."""

import json

import pytest

from tests.conftest import make_workspace

MATHS = [{"id": f"m{n}", "question": f"What is {n} + {n}?", "answers": [str(2 * n)]} for n in range(40)]
SOLVED = [
    row | {"answers": [f"{row['id'][1:]} twice is {row['answers'][0]}.\n#### {row['answers'][0]}"]} for row in MATHS
]


@pytest.fixture
def checked(tmp_path):
    """Make the questions of a run from some rows and check its gold answers; the finished process."""

    def check(rows, *overrides):
        place = make_workspace(tmp_path, tmp_path)
        (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        place.quick_stage("conf", "run=demo", *place.settings, *overrides)
        place.quick_stage("data", "run=demo")
        return place.quick_stage("filtering.golds", "run=demo", check=False)

    return check


@pytest.mark.parametrize(
    ("rows", "overrides"),
    [
        (MATHS, ["reward=numeric"]), (MATHS, ["reward=answer_match"]), (SOLVED, ["reward=numeric"]),
        (SOLVED, ["reward=exact_match", "data.answer_marker='####'"]), (SOLVED, ["reward=symbolic"]),
        ([row | {"answers": ["double", *row["answers"]]} for row in MATHS], ["reward=numeric"]),
    ],
)  # fmt: skip
def test_gold_answers_that_a_reward_can_use_pass(checked, rows, overrides):
    done = checked(rows, *overrides)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("rows", "overrides", "said"),
    [
        (SOLVED, ["reward=exact_match"], ["is a worked solution", "data.answer_marker"]),
        (
            [row | {"answers": ["plenty"]} for row in MATHS],
            ["reward=numeric"],
            ["'plenty'", "no number", "answer_match"],
        ),
        ([row | {"answers": ["3 + 4 = 7"]} for row in MATHS], ["reward=numeric"], ["holds 3 numbers", "answer_marker"]),
        ([row | {"answers": ["plenty"]} for row in MATHS], ["reward.also=[numeric]"], ["reward=numeric", "'plenty'"]),
    ],
)
def test_gold_answers_that_a_reward_cannot_use_are_named(checked, rows, overrides, said):
    done = checked(rows, *overrides)
    assert done.returncode == 4
    for part in ("questions/train-00000-of-00001.parquet: question 'm", *said):
        assert part in done.stderr


def test_a_reward_that_is_not_known_is_refused_before_anything_is_generated(checked):
    done = checked(MATHS, "reward.name=jury")
    assert done.returncode == 2
    assert "reward jury is not known; there are in_accuracy, " in done.stderr
