"""`python -m training` is killed, stopped, or out of disk: the same command again goes on to the same weights."""

import json
import multiprocessing
import os
import resource
import signal
import sys
import time

import pytest

import training.__main__ as stage
from store.checkpoints import RECORD, locate, read_record, verify_folder
from store.errors import stage_main
from tests.training.runs import publish_rows, train, weights


@pytest.fixture
def in_child():
    """Starts the stage as a command in a child that shares this process's imports; none outlives the test."""
    children = []

    def start(run, prepare=lambda: None):
        def command():
            prepare()
            sys.argv = ["training", f"run={run.name}", "iteration=1"]
            stage_main(stage.main)

        children.append(multiprocessing.get_context("fork").Process(target=command))
        children[-1].start()
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.join()


@pytest.fixture
def whole_and_to_stop(make_run, make_rows):
    """Two runs with the same rows, the first of them trained without an interruption."""
    rows = make_rows(60)
    whole, run = make_run(name="whole"), make_run(name="stopped")
    for each in (whole, run):
        publish_rows(each, 0, rows)
    train(whole)
    return whole, run


def killed_when(child, run, pattern):
    """SIGKILL the stage as soon as a file of its iteration matches; whether it was still at work."""
    while child.is_alive() and not list(run.iteration(1).dir.glob(pattern)):
        time.sleep(0.001)
    child.kill()
    child.join()
    return child.exitcode == -signal.SIGKILL


def test_killed_at_every_stage_of_its_work_it_goes_on_to_the_same_weights(whole_and_to_stop, in_child):
    whole, run = whole_and_to_stop
    moments = (
        ".training-*", ".training-*/checkpoint-2/*", ".training-*/checkpoint-3/optimizer.pt",
        ".training-*/checkpoint-5/_complete.json", ".training-*/trained/*", ".training-*/checkpoint/*",
        ".training-*/checkpoint/_checkpoint.json", "checkpoint/_checkpoint.json",
    )  # fmt: skip
    killed = 0
    for pattern in moments:
        killed += killed_when(in_child(run), run, pattern)
        target = run.iteration(1).checkpoint
        assert not target.exists() or not verify_folder(target, read_record(target / RECORD))
    assert killed >= 5  # the last moments pass so fast that some may be missed
    train(run)
    assert weights(run) == weights(whole)
    assert run.iteration(1).checkpoint.exists()
    assert not list(run.iteration(1).dir.glob(".training-*"))


def test_a_killed_training_goes_on_from_its_last_complete_checkpoint(whole_and_to_stop, monkeypatch):
    from training import callbacks

    whole, run = whole_and_to_stop

    class Stopped(Exception):
        pass

    def mark_and_stop(folder):
        mark_complete(folder)
        if folder.name == "checkpoint-5":
            raise Stopped

    mark_complete = callbacks.mark_complete
    monkeypatch.setattr(callbacks, "mark_complete", mark_and_stop)
    with pytest.raises(Stopped):
        train(run)
    [work] = run.iteration(1).dir.glob(".training-*")
    half = work / "checkpoint-7"  # newer by its name and by its time, but nobody marked it
    half.mkdir()
    (half / "trainer_state.json").write_text('{"global_step": 7')
    os.utime(half, (2**33, 2**33))
    train(run)
    costs = json.loads((run.iteration(1).stats / "training.json").read_text())
    assert (costs["resumed_from_step"], costs["steps"], len(costs["log"])) == (5, 8, 8)
    assert weights(run) == weights(whole)


@pytest.mark.parametrize("saving", ["steps", "no"])
def test_a_disk_that_takes_no_more_ends_with_74_and_leaves_nothing_half(make_run, make_rows, in_child, capfd, saving):
    run = make_run(f"training.throughput.save_strategy={saving}")
    publish_rows(run, 0, make_rows(16))

    child = in_child(run, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)))  # a file: 420 kB
    child.join()
    assert child.exitcode == 74
    assert ".training-" in (told := capfd.readouterr().err) and "bytes free" in told
    assert not run.iteration(1).checkpoint.exists()
    train(run)
    verify_folder(*locate(run, 1))


def test_sigterm_ends_it_with_143_and_the_next_run_goes_on(make_run, make_rows, in_child):
    run = make_run()
    publish_rows(run, 0, make_rows(120))
    child = in_child(run)
    while not list(run.iteration(1).dir.glob(".training-*/checkpoint-3/_complete.json")) and child.is_alive():
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGTERM)
    child.join(10)
    assert child.exitcode == 143
    train(run)
    costs = json.loads((run.iteration(1).stats / "training.json").read_text())
    assert costs["resumed_from_step"] >= 3
