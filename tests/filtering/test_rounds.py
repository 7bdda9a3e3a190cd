"""Further rounds of correction: scored, summed up, verified, and the same by a query over the Parquet files."""

import json

import duckdb


def test_every_round_is_scored_and_its_figures_are_those_of_a_query(workspace):
    workspace.start("demo", "eval.rounds=3", "eval.num_samples=2")
    workspace.quick_stage("generation", "run=demo", "iteration=0")
    workspace.quick_stage("filtering", "run=demo", "iteration=0")
    folder = workspace.run("demo") / "iter_00"
    metrics = json.loads((folder / "metrics.json").read_text())["splits"]
    assert "rounds" not in metrics["train"]
    for split in ("validation", "test"):
        found = duckdb.sql(f"""
            select r.round, count(*), sum(r.correct::int), avg((r.corrected = r.correction)::int), sum(r.num_tokens)
            from '{folder}/rounds/{split}-*.parquet' r group by r.round order by r.round
        """).fetchall()
        columns = ("round", "num_texts", "num_correct", "copy_rate", "num_tokens")
        assert [tuple(entry[name] for name in columns) for entry in metrics[split]["rounds"]] == found
        assert [row[:2] for row in found] == [(2, 12), (3, 12)]
        linked = duckdb.sql(f"""
            select count(*) from '{folder}/rounds/{split}-*.parquet' r join '{folder}/trajectories/{split}-*.parquet' t
            using (question_id, init_index, corr_index) where r.round = 2 and r.corrected = t.correction
        """).fetchall()[0][0]
        assert linked == 12
    golds = duckdb.sql(f"""
        select list_bool_or(list_transform(t.answers, lambda a: contains(lower(r.correction), lower(a)))), r.correct
        from '{folder}/rounds/*.parquet' r join '{folder}/trajectories/*.parquet' t
        using (question_id, init_index, corr_index)
    """).fetchall()
    assert any(correct for _, correct in golds) and all(inside for inside, correct in golds if correct)

    screen = workspace.stage("analysis", "run=demo").stdout
    (line,) = [line for line in screen.splitlines() if "again and again" in line]
    assert line.count("(") == 4, line
    assert "whole" not in workspace.stage("analysis.verify", "run=demo").stderr
    assert "corrections_03" in workspace.stage("analysis.status", "run=demo").stdout
    assert "complete" in workspace.stage("filtering", "run=demo", "iteration=0").stdout

    shard = next((folder / "rounds").glob("test-*.parquet"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    refused = workspace.stage("analysis.verify", "run=demo", check=False)
    assert refused.returncode == 5 and str(shard.name) in refused.stderr
