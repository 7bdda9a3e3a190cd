"""Several runs side by side: the cells, the grid, seeds, and what one iteration can expect."""

import shutil

import duckdb
import pytest

from store.run import Run
from tests.analysis.report.conftest import start_hand_made, write_samples
from tests.analysis.report.test_report_figures import Figures
from tests.conftest import make_workspace

CELLS = {"grid-a": (1, 3, 0), "grid-b": (2, 3, 0), "grid-c": (2, 3, 1)}  # N_init, N_corr, seed


@pytest.fixture(scope="module")
def grid(tmp_path_factory, tiny_model):
    """Three scored runs and one that has only begun, and their report."""
    workspace = make_workspace(tmp_path_factory.mktemp("grid"), tiny_model)
    for name, (num_initial, num_corrections, seed) in CELLS.items():
        run = start_hand_made(
            workspace, name, f"sampling.num_initial={num_initial}", f"sampling.num_corrections={num_corrections}",
            f"seed={seed}",
        )  # fmt: skip
        write_samples(run, num_initial, num_corrections)
        workspace.quick_stage("filtering", f"run={name}", "iteration=0")
    start_hand_made(workspace, "grid-d")
    workspace.stage("analysis.report", "sweep=grid")
    return workspace, workspace.folder / "runs" / "_comparisons" / "grid.html"


def test_every_cell_has_its_figures_and_its_report(grid):
    workspace, path = grid
    html = path.read_text(encoding="utf-8")
    figures = Figures(html).found
    for name in CELLS:
        files = Run(name, workspace.folder / "runs").dir / "iter_00" / "trajectories" / "test-*.parquet"
        query = f"SELECT avg(CAST(transition LIKE '%->c' AS INTEGER)) FROM '{files}'"
        (t2,) = duckdb.connect().execute(query).fetchone()
        assert figures[f"{name}.t2"][0] == pytest.approx(t2)
        assert f'href="../{name}/report.html"' in html
    assert "not finished: grid-d" in html
    assert figures["grid.ENF.2.3"][0] == pytest.approx((figures["grid-b.t2"][0] + figures["grid-c.t2"][0]) / 2)
    assert figures["seeds.grid-b.t2"][0] == pytest.approx(figures["grid.ENF.2.3"][0])
    assert 0 < figures["start.1.1.question"][0] < figures["start.2.3.question"][0]


def test_the_table_sorts_and_the_page_holds_on_a_phone(grid, browser, tmp_path):
    browser.screen(390, 844)
    browser.open(grid[1])
    assert browser.run("document.documentElement.scrollWidth") <= 390
    names = "[...document.querySelectorAll('.sortable tbody th')].map((cell) => cell.textContent)"
    assert browser.run(names) == list(CELLS)
    seed = "document.querySelectorAll('.sortable thead button')[4]"
    browser.run(f"{seed}.click()")
    browser.run(f"{seed}.click()")
    assert browser.run(names)[0] == "grid-c"
    assert browser.run(f"{seed}.closest('th').getAttribute('aria-sort')") == "descending"
    assert browser.complaints() == []
    browser.screenshot(tmp_path / "comparison-390.png", whole_page=True)


def test_names_give_the_same_report_as_a_sweep(grid):
    workspace, path = grid
    workspace.stage("analysis.report", "runs=grid-a,grid-b,grid-c")
    other = path.with_name("grid-a+grid-b+grid-c.html")
    assert Figures(other.read_text()).found == Figures(path.read_text()).found


def test_one_run_is_no_comparison(grid):
    workspace, _ = grid
    done = workspace.stage("analysis.report", "runs=grid-a,grid-d", check=False)
    assert done.returncode == 2
    assert "1 of 2 runs are finished" in done.stderr


def test_runs_on_other_questions_are_refused(grid):
    workspace, _ = grid
    name = "others"
    shutil.rmtree(workspace.run(name), ignore_errors=True)
    run = start_hand_made(workspace, name, "data.seed=5")
    write_samples(run, 2, 3)
    workspace.quick_stage("filtering", f"run={name}", "iteration=0")
    done = workspace.stage("analysis.report", "runs=grid-a,others", check=False)
    assert done.returncode == 4
    assert "needs the same questions on both sides" in done.stderr
