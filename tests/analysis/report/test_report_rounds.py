"""Rounds of correction are a section of the report where there are several, with the figures of metrics.json."""

import json

import pytest

from tests.analysis.report.test_report_figures import Figures


@pytest.fixture(scope="module")
def rounds(loop):
    """A run of M_0 whose held-out answers are corrected three times."""
    workspace, _ = loop
    workspace.start("rounds", "eval.rounds=3", "eval.num_samples=2")
    for stage in ("generation", "filtering"):
        workspace.quick_stage(stage, "run=rounds", "iteration=0")
    workspace.stage("analysis.report", "run=rounds")
    return workspace.run("rounds")


def test_every_round_is_shown_with_the_accuracy_of_metrics_json(rounds):
    figures = Figures((rounds / "report.html").read_text(encoding="utf-8")).found
    metrics = json.loads((rounds / "iter_00" / "metrics.json").read_text())["splits"]
    for split in ("validation", "test"):
        expected = [metrics[split]["t1"], metrics[split]["t2"]]
        expected += [entry["accuracy"] for entry in metrics[split]["rounds"]]
        found = [figures[f"rounds.{split}.0.{round}"][0] for round in range(4)]
        assert found == pytest.approx(expected) and len(metrics[split]["rounds"]) == 2


def test_every_round_is_drawn_with_its_interval(rounds):
    html = (rounds / "report.html").read_text(encoding="utf-8")
    assert 'id="rounds"' in html
    for split in ("validation", "test"):
        assert (rounds / "plots" / f"rounds-{split}.png").stat().st_size > 1000
        drawn = (rounds / "plots" / f"rounds-{split}.svg").read_text(encoding="utf-8")
        assert "rounds of correction" in drawn
        assert [drawn.count(f"M0, round {round}: ") for round in range(4)] == [1, 1, 1, 1]
    assert html.count("<title>M0, round 3: ") == 2


def test_a_run_with_one_round_has_no_such_section(report):
    assert 'id="rounds"' not in report.read_text(encoding="utf-8")
    assert not list((report.parent / "plots").glob("rounds-*"))
