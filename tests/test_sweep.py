"""A grid of runs on the deterministic engine: shared samples, failures that stop nobody, and going on after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import sweep as sweep_program
from sweep import run_name
from tests.analysis.report.browser import CHROMIUM, MISSING, Browser
from tests.sweeping import command, generated_tokens, sweep

ROOT = Path(__file__).parents[1]
AXES = ["name=grid", "sampling.num_initial=1,2", "sampling.num_corrections=1,3", "iterations=0"]


def answers(workspace, name: str) -> dict[str, bytes]:
    folder = workspace.run(name) / "iter_00"
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.parquet"))}


@pytest.fixture(scope="module")
def swept(project):
    """A sweep that was killed in its second run, and the same command again."""
    process = subprocess.Popen(
        command(project, *AXES), cwd=project.folder, env=project.environment, stdout=subprocess.DEVNULL
    )
    results = project.folder / "runs" / "_sweeps" / "grid" / "runs"
    deadline = time.monotonic() + 120
    while len(list(results.glob("*.json"))) < 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 1 <= len(list(results.glob("*.json"))) < 4
    return project, sweep(project, *AXES)


def test_every_combination_is_a_run_and_a_killed_sweep_goes_on(swept):
    workspace, done = swept
    assert done.returncode == 0, done.stdout + done.stderr
    names = [f"grid-i{i}-c{c}" for i in (1, 2) for c in (1, 3)]
    for name in names:
        assert (workspace.run(name) / "iter_00" / "metrics.json").exists(), done.stdout
        assert f"{name} " in done.stdout
    assert "what one iteration can expect of M_0" in done.stdout


def test_all_runs_copy_the_first_samples_of_one_pool(swept):
    workspace, _ = swept
    assert generated_tokens(workspace, "grid.pool") > 0
    names = ["grid-i1-c1", "grid-i1-c3", "grid-i2-c1", "grid-i2-c3"]
    assert [generated_tokens(workspace, name) for name in names] == [0, 0, 0, 0]
    workspace.start("alone", "sampling.num_initial=1", "sampling.num_corrections=3")
    workspace.quick_stage("generation", "run=alone", "iteration=0")
    workspace.quick_stage("filtering", "run=alone", "iteration=0")
    assert answers(workspace, "grid-i1-c3") == answers(workspace, "alone")


def test_a_finished_sweep_changes_nothing_and_says_the_same(swept):
    workspace, first = swept
    before = {path: path.stat().st_mtime_ns for path in workspace.folder.glob("runs/grid*/iter_00/**/*")}
    again = sweep(workspace, *AXES)
    assert {path: path.stat().st_mtime_ns for path in workspace.folder.glob("runs/grid*/iter_00/**/*")} == before
    assert again.stdout.partition("run  ")[2] == first.stdout.partition("run  ")[2]


@pytest.mark.skipif(not CHROMIUM, reason=MISSING)
def test_its_report_opens_with_a_row_for_every_run(swept, tmp_path):
    workspace, _ = swept
    workspace.stage("analysis.report", "sweep=grid")
    browser = Browser(tmp_path / "profile")
    try:
        browser.screen(1280, 900, "dark")
        browser.open(workspace.folder / "runs" / "_comparisons" / "grid.html")
        names = "[...document.querySelectorAll('.sortable tbody th')].map((cell) => cell.textContent)"
        assert browser.run(names) == ["grid-i1-c1", "grid-i1-c3", "grid-i2-c1", "grid-i2-c3"]
        assert browser.complaints() == []
        browser.screenshot(tmp_path / "sweep.png", whole_page=True)
    finally:
        browser.close()


def test_a_run_that_fails_is_named_and_stops_no_other(project, tiny_model):
    (project.folder / "model").symlink_to(tiny_model)
    done = sweep(project, "name=partly", "model.path=nowhere,model", "iterations=0")
    assert done.returncode == 1
    assert "failed: partly-pathnowhere" in done.stderr
    log = done.stderr.partition("failed: partly-pathnowhere, see ")[2].partition("\n")[0]
    assert "nowhere" in (project.folder / log).read_text()
    assert (project.run("partly-pathmodel") / "iter_00" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sweep=ninitxncorr"], "there are custom, filter_ablation"),
        (["sampling.num_inital=1,2"], "did you mean sampling.num_initial"),
        (["strategy=EIF,EIG"], "EIG is not a preset"),
        (["name=../elsewhere"], "cannot be a run's name"),
        (["sampling.num_initial=1,[2"], "is not a list of settings"),
        (["strategy=glob(E*)"], "glob() is not expanded here"),
        (["seed=1,1"], "2 combinations are 1 different runs"),
        (["seed=1,2", "iterations=1,2"], "iterations is one for all runs of a sweep"),
        (["seed=1,2", "gpus_per_run=all"], "gpus_per_run='all' was given, a whole number from 0"),
    ],
)
def test_mistakes_are_found_before_any_run_starts(project, arguments, said):
    done = sweep(project, *arguments)
    assert done.returncode == 2 and said in done.stderr, done.stdout + done.stderr
    assert not (project.folder / "runs" / "_sweeps" / "sweep").exists()


def test_runs_of_an_earlier_command_keep_their_pools(tmp_path, monkeypatch):
    """Its jobs may wait in a queue while the sweep gets further seeds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sweep.py"])
    monkeypatch.setattr(sweep_program, "run_cell", lambda: None)
    monkeypatch.setattr(sweep_program, "summarize", lambda *_: 0)
    for seeds in ("0,1", "2,3"):
        assert sweep_program.main(["name=grid", f"seed={seeds}"]) == 0
    pools = json.loads((tmp_path / "runs" / "_sweeps" / "grid" / "pools.json").read_text())
    assert {name: each["pool"] for name, each in pools.items()} == {
        f"grid-s{seed}": f"grid.pool-s{seed}" for seed in range(4)
    }


def test_settings_are_read_as_a_run_reads_them(project):
    """A template's arguments replace the preset's, with keys of their own; a path is taken as it is typed."""
    (project.folder / "é b.jsonl").symlink_to(project.folder / "questions.jsonl")
    arguments = ["model.template_args={enable_thinking:false},{date: now}", "data.files.questions.path=é b.jsonl"]
    done = sweep(project, "name=args", "iterations=0", "model=qwen3-1.7b", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    configs = [yaml.safe_load(path.read_text()) for path in project.folder.glob("runs/args-*/config.yaml")]
    given = [config["model"]["template_args"] for config in configs]
    assert sorted(given, key=str) == [{"date": "now"}, {"enable_thinking": False}]
    assert {config["data"]["files"]["questions"]["path"] for config in configs} == {"é b.jsonl"}


def test_different_values_are_different_runs():
    names = {
        run_name("s", ["model.path"], [f"model.path={path}"]) for path in ("a/b", "a:b", "a_b", "a-b", "a.b", "1e-5")
    }
    assert len(names) == 6 and {"s-patha_b", "s-patha-b", "s-path1e-5"} <= names


@pytest.mark.parametrize("preset", sorted(path.stem for path in (ROOT / "conf" / "sweep").glob("*.yaml")))
def test_presets_are_grids_of_valid_runs(preset):
    from conf.__main__ import composed
    from conf.validation import validate
    from store.run import Run
    from sweep import grid, of_run, run_name

    axes, jobs = grid([f"sweep={preset}"])
    names = [run_name("grid", axes, of_run(job)) for job in jobs]
    assert len(set(names)) == len(jobs)
    for name, job in zip(names, jobs, strict=True):
        validate(composed(Run(name), of_run(job)))
