"""The whole loop as a user runs it: `make iterate` on SmolLM2 with vLLM and TRL, a handful of real questions."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import duckdb
import pytest

from tests.analysis.report.browser import CHROMIUM, MISSING, Browser
from tests.conftest import Workspace
from tests.generation.background import processes

ROOT = Path(__file__).parents[1]
RUN = "test-loop"
FOLDER = ROOT / "runs" / RUN
# No filter: a handful of questions gives a 135M model too little to train on otherwise.
SETTINGS = "data.train=4 data.validation=3 data.test=3 strategy.filter=none training.stop_check.num_prompts=2"


def make(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        ["make", *arguments], cwd=ROOT, env=os.environ | environment, capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, (
        f"make {arguments}: exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
    )
    return done.stdout


def tree(*folders: str) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for folder in folders
        for path in sorted((FOLDER / folder).rglob("*"))
        if path.is_file() and path.suffix != ".safetensors"
    }


@pytest.fixture(scope="module", autouse=True)
def one_iteration():
    shutil.rmtree(FOLDER, ignore_errors=True)
    screen = make(
        "iterate", "N=1", f"RUN={RUN}", "STRATEGY=ENE", "N_INIT=2", "N_CORR=2", "ACCELERATOR=cpu", f"ARGS={SETTINGS}"
    )
    yield screen
    shutil.rmtree(FOLDER)


def test_every_sample_is_there_once_with_its_own_seed(one_iteration):
    for n in (0, 1):
        folder = FOLDER / f"iter_{n:02d}"
        counts = duckdb.sql(f"""
            select (select count(*) from '{folder}/initial_answers/*.parquet'),
                   (select count(*) from '{folder}/corrections/*.parquet'),
                   (select count(distinct (question_id, init_index, corr_index)) from '{folder}/corrections/*.parquet'),
                   (select count(distinct seed) from '{folder}/corrections/*.parquet'),
                   (select count(*) from '{folder}/trajectories/*.parquet')
        """).fetchall()[0]
        assert counts == (4 * 2 + 6, 4 * 4 + 6, 4 * 4 + 6, 4 * 4 + 6, 4 * 4 + 6)
    assert "t1 (95 % interval)" in one_iteration


def test_one_engine_start_serves_an_iteration_and_prompts_are_cached():
    (costs,) = [json.loads(path.read_text()) for path in (FOLDER / "iter_01" / "stats").glob("generation-*.json")]
    assert costs["engine_starts"] == 1
    assert costs["requests"] == 4 * 2 + 6 + 4 * 4 + 6
    assert costs["cached_tokens"] > 0.6 * costs["prompt_tokens"]


def test_the_tokens_trained_are_the_tokens_sampled():
    folder = FOLDER / "iter_00"
    rows = duckdb.sql(f"""
        select s.input_ids = c.prompt_token_ids || c.token_ids, list_sum(s.completion_mask) = len(c.token_ids),
               c.finish_reason, s.input_ids[-1] = 2
        from '{folder}/sft/*.parquet' s join '{folder}/corrections/*.parquet' c
        using (question_id, init_index, corr_index)
    """).fetchall()
    assert len(rows) == json.loads((folder / "metrics.json").read_text())["splits"]["train"]["num_kept"] > 0
    assert set(rows) == {(True, True, "stop", True)}


def test_the_checkpoint_names_the_rows_and_the_model_it_is_made_from():
    record = json.loads((FOLDER / "iter_01" / "checkpoint" / "_checkpoint.json").read_text())
    base = json.loads((FOLDER / "base_model.json").read_text())
    rows = json.loads((FOLDER / "iter_00" / "sft" / "_MANIFEST.json").read_text())
    answers = json.loads((FOLDER / "iter_01" / "initial_answers" / "_MANIFEST.json").read_text())
    assert record["parents"] == {"checkpoint": base["digest"], "sft": rows["digest"]}
    assert answers["parents"]["checkpoint"] == record["digest"] != base["digest"]


@pytest.mark.skipif(not CHROMIUM, reason=MISSING)
def test_its_report_opens_in_a_browser_without_a_network(tmp_path):
    """What a view lists is what a query over the Parquet files finds; light and dark, on a desk and on a phone."""
    assert "open it in a browser" in make("report", f"RUN={RUN}")
    report, browser = FOLDER / "report.html", Browser(tmp_path / "profile")
    trajectories = f"read_parquet('{FOLDER}/iter_*/trajectories/*.parquet', filename = true)"
    views = {
        "": "true",
        "split=train": "split = 'train'",
        "split=test&iteration=1": "split = 'test' and filename like '%iter_01%'",
        "kept=yes": "kept",
        "transition=i-%3Ei&reason=unfiltered": "transition = 'i->i' and reason = 'unfiltered'",
    }
    try:
        for view, condition in views.items():
            browser.open(report, f"#trajectories?{view}")
            browser.wait_for("'ready' in document.documentElement.dataset")
            found = browser.run("document.getElementById('found').textContent").split()[0].replace(",", "")
            assert int(found) == duckdb.sql(f"select count(*) from {trajectories} where {condition}").fetchall()[0][0]
        assert browser.run("document.querySelectorAll('.pair ins, .pair del').length") > 0
        for width, height in ((1280, 900), (390, 844)):
            for scheme in ("light", "dark"):
                browser.screen(width, height, scheme)
                browser.open(report)
                assert browser.run("document.documentElement.scrollWidth") <= width
                browser.screenshot(tmp_path / f"report-{width}-{scheme}.png", whole_page=True)
        assert browser.complaints() == []
        assert {url.partition("#")[0] for url in browser.requests()} <= {report.as_uri(), "about:blank"}
    finally:
        browser.close()


def test_more_iterations_by_two_workers_leave_the_earlier_ones_untouched_and_again_does_nothing():
    before = tree("iter_00", "iter_01", "questions")
    quick_start = "+engine.throughput.enforce_eager=true"  # how fast, and nothing else
    own_processes = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}  # the engines', as on a GPU
    settings = f"launcher.workers=2 launcher.shard_questions=3 {quick_start}"
    make("iterate", "N=2", f"RUN={RUN}", f"ARGS={settings}", **own_processes)
    assert not processes(Workspace(ROOT, []), "VLLM::")
    assert tree("iter_00", "iter_01", "questions") == before
    folder = FOLDER / "iter_02"
    assert (folder / "metrics.json").exists()
    assert len(list((folder / "logs").glob("generation-[01].log"))) == 2
    assert len(list((folder / "corrections").glob("*.parquet"))) == 4
    count = f"count(*), count(distinct (question_id, init_index, corr_index)) from '{folder}/corrections/*.parquet'"
    assert duckdb.sql(f"select {count}").fetchall() == [(4 * 4 + 6, 4 * 4 + 6)]
    everything = tree("iter_00", "iter_01", "iter_02", "questions")
    screen = make("iterate", "N=2", f"RUN={RUN}")
    assert tree("iter_00", "iter_01", "iter_02", "questions") == everything
    assert screen.count("complete") == 1 + 3 + 3 + 2  # M_0, generation and filtering thrice, training twice


def test_a_changed_setting_is_refused_by_make_too():
    done = subprocess.run(
        ["make", "iterate", "N=2", f"RUN={RUN}", "N_INIT=3"], cwd=ROOT, capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode != 0
    assert "sampling.num_initial: 2 -> 3" in done.stderr
