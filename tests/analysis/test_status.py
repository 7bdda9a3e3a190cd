"""A look at a run while it runs: what does, how many samples are there, how fast; after a kill nothing does."""

import signal
import socket
import subprocess
import sys
import time

import pytest

from analysis.watch import planned_shards, samples_so_far, working
from generation.plan import read_plan
from generation.progress import num_samples
from store.run import Run

SLOW = ["+engine.args.step_seconds=0.2", "engine.throughput.max_num_seqs=2", "launcher.shard_questions=1"]


def started(workspace, *command: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", *command], cwd=workspace.folder, env=workspace.environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_look_at_a_run_while_it_runs_and_after_it_was_killed(workspace):
    workspace.start("demo", *SLOW)
    run = Run("demo", workspace.folder / "runs")
    stage = started(workspace, "generation", "run=demo", "iteration=0")
    try:
        while not list(run.iteration(0).corrections.glob("*.parquet")):
            assert stage.poll() is None, stage.stderr.read()
            time.sleep(0.1)
        found = working(run)
        assert (found.stage, found.iteration, found.process) == ("generation", 0, stage.pid)
        said = workspace.stage("analysis.status", "run=demo").stdout
        assert "running: generation of iter_00, for " in said and "/s since it began, at that rate about " in said
        watcher = started(workspace, "analysis.status", "run=demo", "watch=1")
        assert watcher.stdout.readline().startswith("stage ")
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(60) == 0, watcher.stderr.read()
    finally:
        stage.send_signal(signal.SIGKILL)
        stage.wait()
    assert working(run) is None
    assert "nothing of it runs on this machine" in workspace.stage("analysis.status", "run=demo").stdout


def test_samples_are_counted_as_generation_counts_them(finished):
    iteration = Run("demo", finished.folder / "runs").iteration(1)
    planned = num_samples(read_plan(iteration.dir))
    assert sum(size for _, size in planned_shards(iteration)) == planned
    assert samples_so_far(iteration, time.time()) == [f"samples: {planned:,} of {planned:,} in published shards"]


@pytest.mark.parametrize("text", ["", "process 1 on elsewhere\n", "process 1 on {host}\n", "garbage \0"])
def test_another_process_with_the_holders_number_is_not_taken_for_it(tmp_path, text):

    run = Run("demo", tmp_path)
    run.dir.mkdir()
    (run.dir / ".lock").write_text(text.format(host=socket.gethostname()))
    assert working(run) is None


def test_watching_needs_a_run_and_a_yes_or_no(workspace):
    workspace.run("demo").mkdir(parents=True)
    for arguments, said in ((["watch=1"], "run missing"), (["run=demo", "watch=yes"], "0 or 1 was expected")):
        done = workspace.stage("analysis.status", *arguments, check=False)
        assert done.returncode == 2 and said in done.stderr
    assert workspace.stage("analysis.status", "run=demo", "watch=0").stdout.endswith("runs on this machine\n")


def test_a_folder_that_is_no_run_is_not_listed(workspace):
    for name in ("demo", "demo..old", "a copy"):
        workspace.run(name).mkdir(parents=True)
    assert [line.split()[0] for line in workspace.stage("analysis.status").stdout.splitlines()] == ["run", "demo"]
