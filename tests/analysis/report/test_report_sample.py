"""A run too large for the viewer is sampled by question, the same way every time, and the report says so."""

import base64
import gzip
import json
import re

import pytest

from analysis.record import read_record
from analysis.report import pairs
from analysis.report.pairs import choose_questions
from analysis.report.run_report import run_report
from store.schemas import SPLITS


@pytest.fixture
def record(loop, monkeypatch):
    workspace, run = loop
    monkeypatch.chdir(workspace.folder)
    return read_record(run)


def embedded(html: bytes) -> dict:
    data = re.search(rb'id="data">([^<]*)<', html)[1]
    return json.loads(gzip.decompress(base64.b64decode(data)))


def test_a_small_run_is_shown_whole(loop, record):
    html, _ = run_report(loop[1], record)
    total = sum(iteration.manifests["trajectories"].written for iteration in record.iterations)
    assert len(embedded(html)["pairs"]["question"]) == total
    assert b"This file holds all pairs of the run." in html


def test_a_large_run_shows_all_pairs_of_some_questions(loop, record, monkeypatch):
    monkeypatch.setattr(pairs, "MAX_PAIRS", 100)
    chosen = choose_questions(record)
    assert chosen == choose_questions(record)
    assert {split: len(ids) for split, ids in chosen.items() if split != "train"} == {"validation": 6, "test": 6}
    assert 0 < len(chosen["train"]) < 20
    html, _ = run_report(loop[1], record)
    shown = embedded(html)
    assert len(shown["pairs"]["question"]) <= 100
    assert {question["id"] for question in shown["questions"]} == set().union(*chosen.values())
    num_train = shown["pairs"]["split"].count(SPLITS.index("train"))
    assert num_train == len(record.iterations) * 6 * len(chosen["train"])
    assert f"{len(chosen['train'])} of 20 train" in html.decode()


def test_the_budget_is_of_tokens_too(record, monkeypatch):
    monkeypatch.setattr(pairs, "MAX_TOKENS", 60)
    assert len(choose_questions(record)["train"]) < 20


def test_the_same_run_gives_the_same_file(loop, record):
    first, plots = run_report(loop[1], record)
    again, plots_again = run_report(loop[1], record)
    assert first == again
    assert plots == plots_again
    assert {name.rpartition(".")[2] for name in plots} == {"png", "svg"}
