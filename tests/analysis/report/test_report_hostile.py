"""Texts that try to act on what shows them are inert: in the page, in the terminal and in a spreadsheet."""

import csv
import io
import json
import re

import duckdb

from tests.analysis.report.conftest import HOSTILE

MADE_BY_TEXT = "img, iframe, object, script[src], a[href^=javascript]"
ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def pairs_of(run) -> list[dict]:
    rows = duckdb.connect().sql(f"SELECT * FROM '{run.dir}/iter_*/trajectories/*.parquet'").to_arrow_table().to_pylist()
    assert all(any(text in row["initial_answer"] for row in rows) for text in HOSTILE)
    return rows


def test_the_page_shows_hostile_text_and_runs_none_of_it(browser, hostile, hostile_report):
    for anchor in ("#report", "#trajectories"):
        browser.open(hostile_report, anchor)
        browser.wait_for("'ready' in document.documentElement.dataset")
        while not browser.run("document.getElementById('next').hidden"):
            browser.run("document.getElementById('next').click()")
        browser.run("document.querySelectorAll('details').forEach((details) => (details.open = true))")
        shown = browser.run(f"document.querySelector('{anchor}').innerText")
        assert "document.title='run'" in shown
        assert "‹U+" in shown
        assert not ACTING.search(shown)
        assert browser.run("document.title") == "hostile · STaSC"
        assert browser.run(f"document.querySelectorAll('{MADE_BY_TEXT}').length") == 0
        assert browser.run("document.querySelectorAll('script').length") == 2
    assert {"‹U+001B›", "‹U+202E›", "‹U+2028›", "‹U+2066›"} <= set(re.findall("‹U.....?›", shown))
    assert browser.complaints() == []
    count = len(pairs_of(hostile[1]))
    assert browser.run("document.querySelectorAll('.pair').length") == count


def test_the_page_would_not_run_a_script_that_got_into_it(browser, hostile_report):
    browser.open(hostile_report)
    browser.run("document.body.append(element('script', {}, 'window.ran = 1'))")
    browser.run("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')")
    browser.run("new Promise((resolve) => setTimeout(resolve, 200))")
    assert browser.run("window.ran") is None
    assert len(browser.complaints()) >= 2


def test_the_terminal_gets_no_character_that_acts(hostile):
    workspace, run = hostile
    shown = workspace.stage("analysis.inspection", "run=hostile", "limit=0").stdout
    assert not ACTING.search(shown)
    assert "‹U+001B›[31mred" in shown
    assert shown.count("\n  correction") == len(pairs_of(run))


def test_no_csv_cell_is_a_formula_or_acts(hostile):
    workspace, run = hostile
    output = workspace.stage("analysis.inspection", "run=hostile", "format=csv").stdout
    rows = list(csv.DictReader(io.StringIO(output)))
    assert len(rows) == len(pairs_of(run))
    cells = [cell for row in rows for cell in row.values()]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) or ACTING.search(cell) for cell in cells)
    assert any(cell.startswith("'=cmd") for cell in cells)


def test_json_lines_are_ascii_and_exact(hostile):
    workspace, run = hostile
    output = workspace.stage("analysis.inspection", "run=hostile", "format=jsonl").stdout
    assert output.isascii()
    texts = {(row["initial_answer"], row["correction"]) for row in map(json.loads, output.splitlines())}
    assert texts == {(row["initial_answer"], row["correction"]) for row in pairs_of(run)}
