"""python -m filtering.score: a reward at work on texts of one's own."""

import json

import pytest

from filtering import score
from store.errors import BadInput, ConfigError
from tests.conftest import ROOT

CASES = [
    {"text": "Bergen? The answer is Oslo.", "golds": ["Christiania", "Oslo"], "label": 1},
    {"text": "<think>Oslo", "golds": "Oslo", "label": 0},
    {"text": "Bergen", "golds": ["Oslo"], "label": 1},
    {"text": "Oslo", "golds": ["+"]},
    {"text": "it is 7.50", "golds": [7.5], "label": 1},
]


@pytest.fixture
def cases(tmp_path):
    path = tmp_path / "cases.jsonl"
    path.write_text("".join(json.dumps(case) + "\n" for case in CASES))
    return path


def test_each_line_has_score_final_answer_and_why(cases, capsys):
    score.main(["reward=answer_match", f"file={cases}"])
    assert capsys.readouterr().out.splitlines() == [
        "1: 1  'Oslo.'  fits 'Oslo'",
        "2: 0  ''  nothing stands behind its thoughts",
        "3: 0  'Bergen'  fits none of ['Oslo']",
        "4: 0  'Oslo'  gold answer '+' has no letter or digit left when it is normalized: leave it out",
        "5: 1  'it is 7.50'  fits '7.5'",
        "answer_match and the labels agree on 3 of 4 (75.0%)",
        "  3: 0  'Bergen'  fits none of ['Oslo']; label 1",
    ]


def test_what_cannot_be_scored_is_named_and_the_others_are_scored(cases, capsys):
    score.main(["reward=numeric", f"file={cases}"])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "1: nan  'Oslo.'  gold answer 'Christiania' holds no number: choose reward=answer_match"
    assert said[4] == "5: 1  'it is 7.50'  fits '7.5'"


def test_a_function_of_ones_own_scores_them_all(cases, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "mine.py").write_text(
        "def score(questions, texts, golds, label=()):\n    return [len(text) / 100 for text in texts]\n"
    )
    function = ["reward=python", "reward.function=mine.py:score", f"file={cases}"]
    score.main(function)
    assert capsys.readouterr().out.splitlines()[:2] == [
        "1: 0.27  'Oslo.'  of ['Christiania', 'Oslo']",
        "2: 0  ''  of ['Oslo']",
    ]
    with pytest.raises(BadInput, match=r"cases.jsonl, line 4: it has no 'label' but \['golds', 'text'\]"):
        score.main([*function, "reward.columns=[label]"])
    (tmp_path / "mine.py").write_text(
        "def score(questions, texts, golds):\n    return [1 / (text != 'Bergen') for text in texts]\n"
    )
    with pytest.raises(ConfigError, match=r"cases.jsonl, line 3: it raised ZeroDivisionError"):
        score.main(function)


def test_columns_have_any_name(tmp_path, capsys):
    path = tmp_path / "cases.jsonl"
    path.write_text('{"output": "Oslo", "answer": "Oslo"}\n\n', encoding="utf-8-sig")
    score.main(["reward=exact_match", f"file={path}", "text=output", "golds=answer"])
    assert capsys.readouterr().out == "1: 1  'Oslo'  fits 'Oslo'\n"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "line 2: "), ("[1]", "line 2: it holds a list"), ('{"text": "x"}', "line 2: it has no 'golds'.*golds="),
        ('{"text": 1, "golds": "x"}', "line 2: 'text' must be a text"), ('{"text": "x", "golds": []}', "line 2"),
        ('{"text": "x", "golds": ["x"], "label": "yes"}', "line 2: 'label' is 'yes'"), ("\udcff", "line 2"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_case_is_named(tmp_path, line, problem):
    path = tmp_path / "cases.jsonl"
    path.write_bytes(b'{"text": "x", "golds": "x"}\n' + line.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadInput, match=problem):
        score.main(["reward=exact_match", f"file={path}"])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [(["reward=exact_match"], "file="), (["file=x", "reward=jury"], "there are in_accuracy, "), (["help"], "Usage")],
)
def test_wrong_arguments_say_what_is_expected(arguments, problem):
    with pytest.raises(ConfigError, match=problem):
        score.main(arguments)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"none.jsonl is no file"):
        score.main(["reward=exact_match", f"file={tmp_path / 'none.jsonl'}"])
