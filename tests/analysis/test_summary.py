"""The screen after `make iterate`."""

import numpy as np
import pytest

from analysis import __main__ as screen_of
from analysis.stats.counts import QuestionCounts
from analysis.summary import describe
from store.errors import ConfigError
from store.run import Run
from store.schemas import TRANSITIONS
from store.shards import MANIFEST


def counts_of(num_right: int, flagged: int) -> QuestionCounts:
    """20 questions with one pair each; the first `num_right` are correct twice, the first `flagged` overlap."""
    number = np.arange(20)
    sums = {name: np.zeros(20) for name in (*TRANSITIONS, "copies")}
    sums |= {"c->c": (number < num_right) * 1.0, "i->i": (number >= num_right) * 1.0}
    sums["overlap"] = (number < flagged) * 1.0
    return QuestionCounts(np.array([f"q{i:02}" for i in number]), sums)


def screen(flagged: int) -> str:
    return describe("demo", {split: {0: counts_of(10, flagged)} for split in ("train", "validation", "test")})


def test_held_out_figures_are_given_without_overlap_with_train_too():
    lines = screen(flagged=5).splitlines()
    start = lines.index("without overlap with train (15 of 20 test questions)")
    assert lines[start + 1].startswith("test          0   33.3 (")
    assert "test          0   50.0 (" in "\n".join(lines[:start])


def test_nothing_is_said_of_overlap_where_there_is_none():
    assert "without overlap" not in screen(flagged=0)


def test_a_run_whose_first_iteration_is_filtered_again_has_no_screen(tmp_path, monkeypatch):
    """As after a kill in the filtering of iteration 0, whose old trajectories were moved aside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(screen_of, "question_counts", lambda *_: counts_of(10, 0))
    later = Run("demo").iteration(1).trajectories
    later.mkdir(parents=True)
    (later / MANIFEST).touch()
    with pytest.raises(ConfigError, match="runs/demo has no scored iteration: run `make iterate RUN=demo` first"):
        screen_of.main(["run=demo"])
