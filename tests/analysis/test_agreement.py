"""Which texts two rewards are compared on."""

from types import SimpleNamespace

import pyarrow as pa
import pytest

from analysis import agreement
from analysis.agreement import texts_of
from store.errors import ConfigError
from store.run import Run


def test_a_verdict_that_keeps_the_initial_answer_is_that_answer_which_counts_once():
    pairs = [
        {"question_id": "q", "question": "?", "answers": ["Rome"], "initial_answer": y1, "correction": y2,
         "verdict": verdict, "initial_judge": float(y1 == "Rome"), "correction_judge": right}
        for y1, y2, verdict, right in [("Paris", "Yes", "keep", 0.0), ("Rome", "Yes", "keep", 1.0),
                                       ("Paris", "No. Rome", "replace", 1.0), ("Rome", "No. Paris", "replace", 0.0),
                                       ("Paris", "Bonn", "missing", 0.0)]
    ]  # fmt: skip
    found = [(row["text"], row["judge"]) for row in texts_of(pairs, "train")]
    assert found == [("Paris", 0.0), ("Rome", 1.0), ("No. Rome", 1.0), ("No. Paris", 0.0)]


@pytest.mark.parametrize(("score", "is_right"), [(0.7, True), (0.69, False)])
def test_a_score_of_the_threshold_is_right_as_in_the_trajectories(monkeypatch, score, is_right):
    """Rewards are float32, in which 0.7 is a little less."""
    row = {"question_id": "q", "question": "?", "answers": ["Rome"], "initial_answer": "Rome", "correction": "Rome"}
    scores = {f"{side}_{name}": pa.array([score], pa.float32()) for side in ("initial", "correction")
              for name in ("judge", "token_f1")}  # fmt: skip
    table = pa.table({name: [value] for name, value in row.items()} | scores)
    manifest = SimpleNamespace(settings={"scoring": {"rewards": ["judge", "token_f1"]}})
    monkeypatch.setattr(agreement, "required_manifest", lambda *_: manifest)
    monkeypatch.setattr(agreement, "metrics_of", lambda _: {"threshold": 0.7})
    monkeypatch.setattr(agreement, "read_tables", lambda _, split: iter([table] if split == "test" else []))
    (found,) = agreement.compare(SimpleNamespace(trajectories=None), 1)
    assert found.agreement == (agreement.Agreement(1, 0, 0, 0) if is_right else agreement.Agreement(0, 0, 0, 1))


def test_a_run_without_a_judge_names_the_run_that_has_the_samples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Run("f1").dir.mkdir(parents=True)
    Run("f1").config.write_text("samples_of: demo\n")
    monkeypatch.setattr(agreement, "finished_iterations", lambda run: [run.iteration(0)])
    monkeypatch.setattr(agreement, "compare", lambda *_: [])
    with pytest.raises(ConfigError, match="`make rescore FROM=demo RUN=<new name>"):
        agreement.main(["run=f1"])
