"""Rewards compared pair by pair, on the samples of one run; every number again by DuckDB."""

import shutil

import duckdb
import pytest

from tests.conftest import Workspace, make_workspace


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_model, finished) -> Workspace:
    workspace = make_workspace(tmp_path_factory.mktemp("agreement"), tiny_model)
    shutil.copytree(finished.folder / "runs", workspace.folder / "runs")
    settings = ("reward=token_f1", "reward.threshold=0.4", "filter.margin=0.1", "strategy.filter=non_decreasing")
    workspace.stage("conf", "run=f1", "like=demo", "samples_of=demo", *settings)
    for n in (0, 1):
        workspace.stage("filtering", "run=f1", f"iteration={n}")
    return workspace


def test_kept_rows_and_judgements_are_those_of_the_trajectories(place):
    said = place.stage("analysis.rescored", "runs=demo,f1").stdout.splitlines()
    one, other = (f"'{place.run(name)}/iter_*/trajectories/train-*.parquet'" for name in ("demo", "f1"))
    ((pairs, both, either, alike, right, right_other),) = duckdb.sql(f"""
        with one as (select *, parse_path(filename)[-3] it from read_parquet({one}, filename=true)),
             other as (select *, parse_path(filename)[-3] it from read_parquet({other}, filename=true))
        select count(*), sum((one.kept and other.kept)::int), sum((one.kept or other.kept)::int),
               sum((one.transition[-1] = other.transition[-1])::int), avg((one.transition[-1] = 'c')::int),
               avg((other.transition[-1] = 'c')::int)
        from one join other using (it, question_id, init_index, corr_index)""").fetchall()
    assert pairs == 2 * 20 * 2 * 3 and 0 < both < either
    assert said[1].split()[:5] == ["demo", "answer_match", f"{pairs:,}", f"{100 * right:.1f}", f"{either}"]
    assert said[2].split()[:4] == ["f1", "token_f1", f"{pairs:,}", f"{100 * right_other:.1f}"]
    line = said[5].split()
    assert line[:5] == ["demo,", "f1", f"{both}", f"{either}", f"{100 * both / either:.1f}"]
    assert line[8] == f"{100 * alike / pairs:.1f}"
    chance = right * right_other + (1 - right) * (1 - right_other)
    assert line[-1] == f"{(alike / pairs - chance) / (1 - chance):.2f}"


def test_rows_of_a_table_of_runs_are_those_that_their_models_were_trained_on(place):
    pairs = "/iter_00/trajectories/train-*.parquet' where kept"
    ours, theirs = (duckdb.sql(f"select 1 from '{place.run(name)}{pairs}").fetchall() for name in ("demo", "f1"))
    assert len(ours) != len(theirs)
    said = place.quick_stage("analysis.runs", "runs=demo,f1").stdout.splitlines()
    assert [line.split()[:2] for line in said[1:3]] == [["demo", f"{len(ours)}"], ["f1", f"{len(ours)}"]]


def test_a_judge_scores_the_same_samples(place):
    settings = ("reward=judge", "judge=model", "judge/prompt=reference_free", "reward.max_unscorable=1")
    place.quick_stage("conf", "run=judged", "like=demo", "samples_of=demo", *settings)
    for n in (0, 1):
        place.stage("judging", "run=judged", f"iteration={n}")
        place.quick_stage("filtering", "run=judged", f"iteration={n}")
    said = place.stage("analysis.rescored", "runs=demo,judged").stdout.splitlines()
    assert said[2].split()[:3] == ["judged", "judge", "240"]


def test_what_could_not_be_scored_is_compared_with_nothing_and_called_that(place):
    (place.folder / "nan.py").write_text(
        "def score(questions, texts, golds):\n    return [float('nan')] * len(texts)\n"
    )
    settings = ("reward=python", "reward.function=nan.py:score", "reward.max_unscorable=1")
    place.quick_stage("conf", "run=1e3", "like=demo", "samples_of=demo", *settings)
    for n in (0, 1):
        place.quick_stage("filtering", "run=1e3", f"iteration={n}")
    said = place.quick_stage("analysis.rescored", "runs=demo,1e3").stdout.splitlines()
    assert said[2].split() == ["1e3", "python", "0", "-", "0"]
    assert said[5].split() == ["demo,", "1e3", "0", "0", "-", "-", "-"]
    done = place.quick_stage("analysis", "run=1e3", check=False)
    assert done.returncode == 4 and "none could be scored; runs/1e3/iter_00/trajectories/_quarantined" in done.stderr


def test_pairs_of_the_authors_code_are_compared_with_their_like_alone(place):
    for name, reward in (("crossed", "answer_match"), ("crossed-f1", "token_f1")):
        settings = ("compat.cross_pairing=true", f"reward={reward}")
        place.quick_stage("conf", f"run={name}", "like=demo", "samples_of=demo", *settings)
        for n in (0, 1):
            place.quick_stage("filtering", f"run={name}", f"iteration={n}")
    done = place.quick_stage("analysis.rescored", "runs=demo,crossed", check=False)
    assert done.returncode == 4 and "crossed pairs every correction with every initial answer" in done.stderr
    said = place.quick_stage("analysis.rescored", "runs=crossed,crossed-f1").stdout.splitlines()
    assert said[1].split()[2] == "480"


@pytest.mark.parametrize(
    ("runs", "exit_code", "said"),
    [("demo", 2, "two or more different runs"), ("demo,demo", 2, "two or more different runs"),
     ("demo,own", 4, "own does not score the samples of demo"), ("f1,own", 4, "`make rescore FROM=demo RUN=")],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(place, runs, exit_code, said):
    if "own" in runs:
        place.iterate("own", 0)
    done = place.stage("analysis.rescored", f"runs={runs}", check=False)
    assert (done.returncode, said in done.stderr) == (exit_code, True), done.stderr
