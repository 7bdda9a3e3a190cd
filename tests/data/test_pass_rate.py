"""Training questions that M_0 answers right sometimes."""

import shutil

import duckdb
import pyarrow.parquet as pq


def test_training_questions_on_the_frontier_are_those_answered_right_sometimes(workspace):
    workspace.start("pool", "data.train=30", "sampling.num_initial=4", "sampling.num_corrections=1")
    workspace.quick_stage("generation", "run=pool", "iteration=0")
    workspace.quick_stage("filtering", "run=pool", "iteration=0")
    pairs = f"'{workspace.run('pool')}/iter_00/trajectories/train-*.parquet'"
    rates = duckdb.sql(f"select question_id, avg(initial_reward) from {pairs} group by question_id").fetchall()
    sometimes = {key for key, rate in rates if 0.2 <= rate <= 0.8}
    assert 0 < len(sometimes) < len(rates)

    chosen = ["data.train=30", "pass_rate=between", "data.pass_rate.run=pool", "data.pass_rate.low=0.2",
              "data.pass_rate.high=0.8"]  # fmt: skip
    workspace.start("near", *chosen)

    def ids(run: str, split: str) -> list[str]:
        return pq.read_table(next(workspace.run(run).glob(f"questions/{split}-*")))["question_id"].to_pylist()

    assert set(ids("near", "train")) == sometimes
    assert [ids("near", split) for split in ("validation", "test")] == [
        ids("pool", split) for split in ("validation", "test")
    ]
    workspace.stage("data", "run=near")
    shutil.rmtree(workspace.run("pool"))
    workspace.stage("data", "run=near")
    refused = workspace.stage("conf", "run=far", *workspace.settings, "pass_rate=between", check=False)
    assert refused.returncode == 2 and "data.pass_rate.run" in refused.stderr
    workspace.quick_stage("conf", "run=lost", *workspace.settings, *chosen)
    lost = workspace.stage("data", "run=lost", check=False)
    assert lost.returncode == 2 and "make iterate N=0 RUN=pool" in lost.stderr
