"""When N=auto stops, from figures alone; what cannot be trusted stops it with an error."""

import json

import pytest

from analysis.patience import describe, last_iteration, main, validation_t2
from store.errors import BadInput, ConfigError, CorruptArtifact
from store.fingerprint import digest_bytes
from store.publish import write_atomic
from store.run import Run
from store.shards import Manifest


@pytest.mark.parametrize(
    ("t2", "patience", "most", "last"),
    [
        ([], 1, 10, None),
        ([0.2], 1, 10, None),
        ([0.2, 0.3, 0.4], 1, 10, None),
        ([0.2, 0.2], 1, 10, 1),  # the same is not above
        ([0.24, 0.315, 0.33, 0.328], 1, 10, 3),
        ([0.24, 0.315, 0.33, 0.328], 2, 10, None),
        ([0.24, 0.315, 0.33, 0.328, 0.33], 2, 10, 4),
        ([0.3, 0.1, 0.2, 0.4], 2, 10, 2),  # 0.2 is above the last one, not above the best
        ([0.3, 0.1, 0.4, 0.1], 2, 10, None),
        ([0.3, 0.2, 0.5, 0.6], 1, 10, 1),  # what comes later does not matter
        ([0.1, 0.2, 0.3], 1, 2, 2),
        ([0.1], 1, 0, 0),
        ([0.1, 0.2, 0.3, 0.4], 1, 2, 2),
    ],
)
def test_the_last_iteration_is_the_first_that_patience_or_max_ends(t2, patience, most, last):
    assert last_iteration(t2, patience, most) == last


def test_it_says_why_with_the_figures():
    t2 = [0.24, 0.315, 0.33, 0.328]
    assert describe(t2, 1, 10) == (
        "stopped after iteration 3: validation t2 has not risen for 1 iteration: 24.0, 31.5, 33.0, 32.8 %"
    )
    assert describe(t2, 1, 3) == describe([*t2, 0.9], 1, 10) == describe(t2, 1, 10)
    assert describe([*t2, 0.1], 2, 10).startswith(
        "stopped after iteration 4: validation t2 has not risen for 2 iterations"
    )
    assert describe(t2, 1, 2) == (
        "stopped after iteration 2: no more than MAX=2 were asked for; validation t2 24.0, 31.5, 33.0 %"
    )
    assert describe(t2, 2, 10) == "iteration 4 is next: validation t2 so far 24.0, 31.5, 33.0, 32.8 %"


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    """runs/demo, whose iterations 0 to 2 have a t2 and whose iteration 4 is beyond a gap."""
    monkeypatch.chdir(tmp_path)
    run = Run("demo")
    for number, t2 in {0: 0.1, 1: 0.3, 2: 0.25, 4: 0.9}.items():
        publish(run, number, t2)
    return run


def publish(run: Run, number: int, t2: float | None) -> None:
    trajectories = Manifest("trajectories", number, {}, {}, 0, 0, 0, {})
    trajectories.write(run.iteration(number).trajectories)
    content = json.dumps({"trajectories": trajectories.digest, "splits": {"validation": {"t2": t2}}}).encode()
    write_atomic(run.iteration(number).metrics, content, replace=True)
    Manifest("sft", number, {}, {}, 0, 0, 0, {}, extra={"metrics": digest_bytes(content)}).write(
        run.iteration(number).sft
    )


def test_figures_are_those_of_finished_iterations_up_to_a_gap(run):
    assert validation_t2(run) == [0.1, 0.3, 0.25]
    assert validation_t2(Run("new")) == []


@pytest.mark.parametrize(("patience", "most", "number"), [("1", "10", "2"), ("2", "10", "3"), ("3", "1", "1")])
def test_make_is_told_how_far_to_go(run, capsys, patience, most, number):
    main(["run=demo", f"patience={patience}", f"max={most}", "print=last"])
    assert capsys.readouterr().out == f"{number}\n"


@pytest.mark.parametrize(
    ("name", "value"), [("patience", "0"), ("patience", "two"), ("max", "100"), ("max", "-1"), ("print", "x")]
)
def test_other_values_are_refused_in_a_sentence(run, name, value):
    given = {"patience": "1", "max": "10"} | {name: value}
    with pytest.raises(ConfigError, match=f"{name}='{value}' was given, .* expected"):
        main(["run=demo", *(f"{key}={text}" for key, text in given.items())])


def test_metrics_of_another_iteration_are_refused(run):
    run.iteration(1).metrics.write_bytes(run.iteration(2).metrics.read_bytes())
    with pytest.raises(CorruptArtifact, match=r"iter_01/metrics.json cannot be used"):
        validation_t2(run)


def test_no_pair_on_validation_says_what_to_do(run):
    publish(run, 1, None)
    with pytest.raises(BadInput, match=r"iter_01/metrics.json has no pair of the split validation.*N=3"):
        validation_t2(run)
