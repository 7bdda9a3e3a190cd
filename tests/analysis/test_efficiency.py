"""Sizes and filters over seeds, from shared samples: what they took and gained, every number again by DuckDB.

No row is kept (filter.margin=2), so M_1 is M_0, asked again with other seeds: nothing is trained, all the rest is real.
"""

import contextlib
import json
from importlib import import_module

import duckdb
import pytest

from analysis import efficiency
from analysis.ablation import sentence
from analysis.efficiency import STASC, VOTES, cheapest, grids, over_seeds, points
from conf.stored import load
from store.run import Run
from tests.conftest import Workspace, make_workspace

SEEDS = (0, 1)
SIZES = ((1, 1), (2, 2))
RANDOM = "random_matched"


class InProcess(Workspace):
    """Stages without a Python of their own, those that start no engine: some 60 starts less."""

    def stage(self, *command: str, **kwargs):
        if command[0] not in ("conf", "data", "training.base_model", "training", "filtering"):
            return super().stage(*command, **kwargs)
        with contextlib.chdir(self.folder):
            return import_module(f"{command[0]}.__main__").main(list(command[1:]))


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_model) -> Workspace:
    made = make_workspace(tmp_path_factory.mktemp("efficiency"), tiny_model)
    workspace = InProcess(made.folder, made.settings)
    workspace.settings += ["strategy=EIF", "filter.margin=2", "data.train=8", "data.validation=2", "data.test=9"]
    for seed in SEEDS:
        pool = f"grid.pool-s{seed}"
        workspace.iterate(pool, 0, f"seed={seed}", "sampling.num_initial=2", "sampling.num_corrections=2")
        for i, k in SIZES:
            sizes = f"sampling.num_initial={i}", f"sampling.num_corrections={k}"
            workspace.iterate(f"grid-i{i}-c{k}-s{seed}", 1, f"seed={seed}", f"launcher.pool={pool}", *sizes)
        of_random = f"strategy.filter={RANDOM}", "sampling.num_corrections=2"
        workspace.iterate(f"grid-random-s{seed}", 1, f"seed={seed}", f"launcher.pool={pool}", *of_random)
    results = workspace.folder / "runs" / "_sweeps" / "few" / "runs"
    results.mkdir(parents=True)
    for seed in SEEDS:
        for name in (f"grid-i2-c2-s{seed}", f"grid-random-s{seed}"):
            (results / f"{name}.json").write_text(json.dumps({"run": name, "exit_code": 0}))
    return workspace


@pytest.fixture
def here(place, monkeypatch) -> Workspace:
    monkeypatch.chdir(place.folder)
    return place


def figure(run: Run, iteration: int, side: int) -> float:
    folder = run.iteration(iteration).trajectories
    ((value,),) = duckdb.sql(f"select avg((transition[{side}] = 'c')::int) from '{folder}/test-*.parquet'").fetchall()
    return value


def tokens(run: Run) -> int:
    """Of M_0's training samples, which train M_1."""
    folder, total = run.iteration(0), 0
    for table in ("initial_answers", "corrections"):
        ((some,),) = duckdb.sql(f"select sum(len(token_ids)) from '{folder.dir / table}/train-*.parquet'").fetchall()
        total += some
    return total


def test_gains_and_tokens_of_every_size_are_those_of_its_runs(here):
    sizes, random = grids(Run("grid.pool-s0"))
    assert list(sizes.cells) == list(SIZES) and list(random.cells) == [(2, 2)]
    found = {point.size: point for point in points(sizes)}
    for i, k in SIZES:
        runs = [Run(f"grid-i{i}-c{k}-s{seed}") for seed in SEEDS]
        gains = [figure(run, 1, -1) - figure(run, 0, -1) for run in runs]
        assert found[i, k].way == STASC
        assert found[i, k].gain.difference.value == pytest.approx(sum(gains) / 2)
        assert found[i, k].tokens == sum(map(tokens, runs)) / 2


def test_the_table_has_every_size_and_draws_the_same(here):
    said = here.stage("analysis.efficiency", "run=grid.pool-s1").stdout
    lines = [line.split() for line in said.splitlines()]
    assert [line[:2] for line in lines[2:6]] == [["1", "1"], ["1", "2"], ["2", "1"], ["2", "2"]]
    assert f"{tokens(Run('grid.pool-s1')):,}" == lines[5][2]
    assert len(lines[3]) < 10 < len(lines[2])  # no run has 1 x 2
    assert "No size is shown to gain anything" in said
    for path in here.stage("analysis.report.efficiency", "run=grid.pool-s1").stdout.splitlines():
        assert (here.folder / path.removesuffix(", .svg")).read_bytes().startswith(b"\x89PNG")


def test_answers_of_m_0_stand_beside_where_they_were_made(here):
    for seed in SEEDS:
        run = f"grid-i1-c1-s{seed}"
        settings = here.stage("analysis.baselines", f"run={run}", "settings=m0").stdout.split()
        InProcess(here.folder, []).iterate(f"{run}-m0", 0, f"like={run}", *settings)
    (voted,) = [point for point in points(grids(Run("grid.pool-s0"))[0]) if point.way == VOTES]
    assert voted.size == (1, 1) and "self-consistency" in here.stage("analysis.efficiency", "run=grid.pool-s0").stdout


def test_a_pool_that_nothing_was_trained_on_has_its_expectations(here):
    here.iterate("alone", 0, "seed=7")
    assert "no trained run has its samples" in here.stage("analysis.efficiency", "run=alone").stdout


def test_a_run_made_twice_counts_once_and_a_copy_aside_not_at_all(here):
    wanted = list(points(grids(Run("grid.pool-s0"))[0]))
    runs = here.folder / "runs"
    (runs / "a copy of it").mkdir()
    (runs / "a copy of it" / "_execution.yaml").write_text("launcher: {pool: null}\n")
    pool, sizes = "launcher.pool=grid.pool-s0", ("sampling.num_initial=1", "sampling.num_corrections=1")
    here.iterate("grid-twice", 1, "seed=0", pool, *sizes)
    assert list(points(grids(Run("grid.pool-s0"))[0])) == wanted


def test_runs_of_another_format_or_without_settings_are_on_no_pool(tmp_path, monkeypatch):
    for name, pool in (("damaged", None), ("old", "old.pool"), ("old.pool", "null")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("format: 1\n")
        (tmp_path / name / "_execution.yaml").write_text(f"launcher: {{pool: {pool}}}\n" if pool else "{}\n")
    (tmp_path / "pool").mkdir()
    monkeypatch.setattr(efficiency, "finished_iterations", lambda run: [0, 1])
    monkeypatch.setattr(efficiency, "experiment_of", lambda run: "" if run.name == "pool" else load(run))
    assert grids(Run("pool", tmp_path)) == []


def test_recipes_that_differ_in_more_than_recipe_and_seed_are_no_study(here):
    folder = here.folder / "runs" / "_sweeps" / "mixed" / "runs"
    folder.mkdir(parents=True)
    for seed in SEEDS:
        for name in (f"grid-i1-c1-s{seed}", f"grid-i2-c2-s{seed}"):
            (folder / f"{name}.json").write_text(json.dumps({"run": name, "exit_code": 0, "overrides": []}))
    done = here.stage("analysis.study", "sweep=mixed", check=False)
    assert done.returncode == 4 and "differ in more than recipe and seed" in done.stderr


def test_the_cheapest_size_reaches_the_share_of_the_best_gain():
    cells = {(1, 1): (10, 0.05), (1, 3): (20, 0.091), (3, 3): (60, 0.1), (5, 5): (150, 0.08)}
    assert cheapest(cells) == (1, 3)
    assert cheapest({(1, 1): (10, 0.0), (2, 2): (20, -0.1)}) is None
    assert over_seeds([cells]) == "one seed: no interval"
    assert over_seeds([cells, {(1, 1): (30, 0.1)}, cells]) == "each of 3 seeds alone: 23 (9 to 38)"
    assert over_seeds([cells, {(1, 1): (30, 0.0)}]) == "in 1 of 2 seeds no size gains"


def test_a_filter_is_compared_with_as_many_random_rows(here):
    said = here.stage("analysis.ablation", "sweep=few").stdout.splitlines()
    for line, names in ((said[1], "grid-i2-c2"), (said[2], "grid-random")):
        runs = [Run(f"{names}-s{seed}") for seed in SEEDS]
        t1, t2 = (sum(figure(run, 1, side) for run in runs) / 2 for side in (1, -1))
        assert f" {100 * t1:.1f} (" in line and f" {100 * t2:.1f} (" in line
    assert said[1].startswith("improving") and "minimum detectable effect" in said[1]
    assert said[2].startswith(RANDOM) and "detectable" not in said[2]
    assert said[3] == "Adjusted together (Holm, 1): no filter is shown to differ from as many rows drawn at random"
    assert sentence(["improving"]) == "improving differs from as many rows drawn at random"
    drawn = here.stage("analysis.report.differences", "ablation=few").stdout
    assert drawn == "runs/_comparisons/few-ablation.png, .svg\n"
    assert ">improving<" in (here.folder / "runs" / "_comparisons" / "few-ablation.svg").read_text()


def test_filters_without_their_random_rows_are_refused(here):
    folder = here.folder / "runs" / "_sweeps"
    for path in (folder / "few" / "runs").glob("grid-i2*"):
        (folder / "half" / "runs").mkdir(parents=True, exist_ok=True)
        (folder / "half" / "runs" / path.name).write_bytes(path.read_bytes())
    done = here.stage("analysis.ablation", "sweep=half", check=False)
    assert done.returncode == 2 and "random_matched for improving" in done.stderr
