"""Several runs in one table: a seed counts once, and it says where their last models are not of one iteration."""

from collections.abc import Callable

import numpy as np
import pytest

from analysis import ablation, efficiency, runs, study
from analysis.run_rows import RunRow
from analysis.stats.counts import QuestionCounts
from store.errors import ConfigError, CorruptArtifact

SAID = "the last models are of different iterations: "


@pytest.fixture
def row(make_counts: Callable[..., QuestionCounts]) -> Callable[..., RunRow]:
    def make(run: str, seed: int, last: int = 1, size: int = 1, **of_run: str) -> RunRow:
        tokens = {f"{side}_num_tokens": np.full(20, 4) for side in ("initial", "correction")}
        rng = np.random.default_rng(seed)
        test = {}
        for number in range(last + 1):
            right = rng.random(20) < 0.5
            test[number] = make_counts({"c->c": right, "i->i": ~right} | tokens)
        kept = dict.fromkeys(range(last), 10)
        return RunRow(run, "EIF", size, size, seed, of_run.get("experiment", "same"), test, kept, best=0)

    return make


def test_a_run_that_was_made_twice_is_one_seed(row):
    rows = [row("a", 0), row("a-again", 0), row("b", 1), row("other", 0, experiment="other")]
    assert [[each.run for each in group] for group in runs.by_experiment(rows)] == [["a", "b"], ["other"]]
    assert "means over seeds" not in "\n".join(runs.table(rows[:2]))


def test_last_models_of_different_iterations_are_named(row, monkeypatch):
    uneven, even = ([row("a", 0), row("b", 1, last=last)] for last in (2, 1))
    monkeypatch.setattr(study, "answer_tokens", lambda row: 8.0)
    monkeypatch.setattr(study, "made_for", lambda *_: [])
    monkeypatch.setattr(efficiency, "spent", lambda row: 100)

    def tables(rows: list[RunRow]) -> list[list[str]]:
        names = ("improving", "random_matched")
        arms = {name: study.Recipe(name, rows) for name in names}
        grid = efficiency.Grid("a", {(1, 1): study.Recipe("1x1", rows)})
        return [
            runs.table(rows),
            study.table([study.Recipe("paper", rows)]),
            ablation.table(arms),
            list(efficiency.describe("pool", [], grid)),
        ]

    assert f"{SAID}M_1 of a; M_2 of b" in runs.table(uneven)
    assert all(any(line.startswith(SAID) for line in lines) for lines in tables(uneven))
    assert not any(line.startswith(SAID) for lines in tables(even) for line in lines)


def test_a_trained_size_beyond_the_table_has_a_line(row, monkeypatch):
    monkeypatch.setattr(efficiency, "spent", lambda row: 100)
    monkeypatch.setattr(study, "made_for", lambda *_: [])
    rows = [row("a", seed, size=7) for seed in (0, 1)]
    lines = list(efficiency.describe("pool", [], efficiency.Grid("a", efficiency.by_size(rows))))
    assert lines[2].split()[:4] == ["7", "7", "self-correction", "100"]


def test_a_damaged_result_of_a_sweep_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "_sweeps" / "grid" / "runs"
    folder.mkdir(parents=True)
    (folder / "grid-s0.json").write_text('{"run": "grid-s0", "exit_code"')
    with pytest.raises(CorruptArtifact, match=r"grid-s0\.json cannot be used: it is not JSON"):
        runs.finished("grid")


def test_runs_of_a_recipe_that_the_sweep_has_not_are_refused(monkeypatch):
    monkeypatch.setattr(study, "finished", lambda sweep: [{"run": "a", "overrides": ["recipe=both", "seed=0"]}])
    with pytest.raises(ConfigError, match="print='paper' was given, m0 or a recipe of sweep=grid was expected: both"):
        study.main(["sweep=grid", "print=paper"])
