"""A report is made of artifacts that belong together, or not at all; what a reader should know is said."""

import json
import shutil

import pytest

from analysis.iterations import finished_iterations
from analysis.record import read_costs, read_record
from analysis.report.provenance import quarantined
from analysis.report.run_report import run_report
from analysis.report.sections import alerts
from analysis.report.warnings import warnings
from store.errors import ConfigError, CorruptArtifact
from store.run import Run


@pytest.fixture
def copy(loop, tmp_path, monkeypatch):
    """The loop's run, in a place where it may be damaged."""
    _, run = loop
    shutil.copytree(run.dir, tmp_path / "runs" / "demo")
    monkeypatch.chdir(tmp_path)
    return Run("demo")


def test_edited_metrics_are_refused(copy):
    path = copy.iteration(1).metrics
    path.write_text(path.read_text().replace('"t2": ', '"t2": 0.9, "was": ', 1))
    with pytest.raises(CorruptArtifact, match=r"iter_01/metrics\.json cannot be used: it is not the file that"):
        read_record(copy)


def test_an_edited_shard_is_refused(copy):
    shard = next(copy.iteration(0).trajectories.glob("test-*.parquet"))
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    with pytest.raises(CorruptArtifact, match=shard.name):
        read_record(copy)


def test_damaged_costs_are_refused_by_name(tmp_path):
    (tmp_path / "training.json").write_text('{"seconds": 1')
    with pytest.raises(CorruptArtifact, match=r"training\.json cannot be used: it is not JSON"):
        read_costs(tmp_path)


def test_an_unfinished_iteration_is_left_out_and_named(copy):
    shutil.rmtree(copy.iteration(1).sft)
    record = read_record(copy)
    assert [iteration.number for iteration in record.iterations] == [0]
    assert "iter_01 not finished when this report was made: not in it." in warnings(record)
    assert alerts(record, [])[0] == "unfinished: without iter_01"


def test_nothing_after_a_gap_is_reported(copy):
    shutil.rmtree(copy.iteration(0).sft)
    assert finished_iterations(copy) == []
    with pytest.raises(ConfigError, match=r"make iterate RUN=demo"):
        read_record(copy)


def test_a_report_of_a_run_that_is_not_there_says_what_to_do(loop):
    workspace, _ = loop
    done = workspace.stage("analysis.report", "run=nowhere", check=False)
    assert done.returncode == 2
    assert "make iterate RUN=nowhere" in done.stderr
    done = workspace.stage("analysis.report", check=False)
    assert done.returncode == 2
    assert "exactly one of run=" in done.stderr


def test_costs_of_several_processes_add_up(copy):
    costs = read_record(copy).iterations[1].costs["generation"]
    path = next(copy.iteration(1).stats.glob("generation-*.json"))
    twin = json.loads(path.read_text())
    path.with_name("generation-other-1.json").write_text(json.dumps(twin | {"peak_memory_bytes": 5}))
    doubled = read_record(copy).iterations[1].costs["generation"]
    assert doubled["generated_tokens"] == 2 * costs["generated_tokens"]
    assert doubled["peak_memory_bytes"] == costs["peak_memory_bytes"]


def test_the_record_names_digests_switches_and_what_was_quarantined(copy, report):
    html, record = report.read_text(encoding="utf-8"), read_record(copy)
    for iteration in record.iterations:
        for manifest in iteration.manifests.values():
            assert manifest.digest in html
        assert iteration.checkpoint.digest in html
    for switch in record.settings["compat"]:
        assert switch in html
    assert "No row was quarantined." in html


def test_quarantined_rows_are_counted_by_reason(copy):
    rows = [{"file": "q.jsonl", "line": 3, "code": "BAD_JSON", "detail": "<b>x</b>"}] * 60
    (copy.questions / "_quarantined.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    record = read_record(copy)
    assert list(record.quarantined) == ["questions"]
    (folder,) = quarantined(record)
    assert (folder["num_rows"], folder["codes"], len(folder["rows"])) == (60, "60 BAD_JSON", 50)


def test_baselines_are_a_section_where_they_were_measured(copy):
    assert b'id="baselines"' not in run_report(copy, read_record(copy))[0]
    accuracy = {"value": 0.25, "low": 0.1, "high": 0.4, "num_questions": 6}
    rows = [
        {"name": "<b>majority of 5</b>", "accuracy": accuracy, "words": "no difference shown",
         "inference_tokens": 71.25, "training_tokens": 1234, "budget": 0.9},
        {"name": "STaR", "accuracy": None, "words": "runs/demo-star is not finished", "inference_tokens": None,
         "training_tokens": None, "budget": None},
    ]  # fmt: skip
    (copy.dir / "baselines.json").write_text(json.dumps({"rows": rows}))
    html = run_report(copy, read_record(copy))[0].decode()
    assert 'id="baselines"' in html
    assert "&lt;b&gt;majority of 5&lt;/b&gt;" in html
    assert ">25.0</data>" in html
    assert ">1,234</data>" in html and ">71.2<" in html and ">0.90<" in html
    assert "runs/demo-star is not finished" in html
