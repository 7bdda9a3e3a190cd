"""The report as a reader meets it: opened from disk in a real browser without a network."""

import json
from urllib.parse import urlencode

import duckdb
import pytest

from analysis.stats.taxonomy import classify

VIEWS = ("#report", "#trajectories")
FILTERS = [
    ({}, "true"),
    ({"split": "test"}, "split = 'test'"),
    ({"iteration": "1", "split": "train"}, "iteration = 1 AND split = 'train'"),
    ({"transition": ["i->c", "c->i"]}, "transition IN ('i->c', 'c->i')"),
    ({"kept": "yes"}, "kept"),
    ({"kept": "no", "reason": "empty"}, "reason = 'empty' AND NOT kept"),
    ({"change": "unchanged"}, "change = 'unchanged'"),
    ({"flag": "correction_no_final_answer"}, "list_contains(flags, 'correction_no_final_answer')"),
    ({"reward": "token_f1", "min": "0.3", "max": "0.9"}, "correction_token_f1 BETWEEN 0.3 AND 0.9"),
    ({"reward": "in_accuracy", "of": "initial", "min": "1"}, "initial_in_accuracy >= 1"),
    ({"words": "AMBER or"}, "texts LIKE '%amber%' AND texts LIKE '%or%'"),
    ({"words": "no such words at all"}, "false"),
]
# The contrast of every piece of text that is shown, against the nearest background that is not transparent.
LOW_CONTRAST = """
(() => {
  const parse = (color) => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d");
    canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color[3] > 200) return color;
    }
    return parse("Canvas");
  };
  const low = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility() || node.closest("svg, script, style")) continue;
    const [one, other] = [luminance(parse(getComputedStyle(node).color)), luminance(behind(node))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) low.push([node.outerHTML.slice(0, 80), contrast.toFixed(2)]);
  }
  return low;
})()
"""


@pytest.fixture(scope="module")
def pairs(loop):
    connection = duckdb.connect()
    connection.create_function("classify", classify, ["VARCHAR", "VARCHAR", "VARCHAR"], "VARCHAR")
    files = loop[1].dir / "iter_*" / "trajectories" / "*.parquet"
    connection.execute(
        "CREATE TABLE pairs AS SELECT *, CAST(regexp_extract(filename, 'iter_(\\d+)', 1) AS INTEGER) AS iteration, "
        "classify(question, initial_answer, correction) AS change, lower(concat_ws(chr(10), question, "
        "array_to_string(answers, chr(10)), initial_answer, correction)) AS texts "
        f"FROM read_parquet('{files}', filename = true)"
    )
    return connection


@pytest.fixture
def page(browser, report):
    """The report's own address opens any view of it: page(anchor)."""

    def open_view(anchor: str = "") -> None:
        browser.open(report, anchor)
        browser.wait_for("'ready' in document.documentElement.dataset")

    return open_view


def number_found(browser) -> int:
    return int(browser.run("document.getElementById('found').textContent").split()[0].replace(",", ""))


def test_it_opens_without_a_complaint_and_asks_for_nothing(browser, page, report):
    for anchor in ("", *VIEWS, "#cost", "#trajectories?split=test"):
        page(anchor)
    assert browser.complaints() == []
    assert {url.partition("#")[0] for url in browser.requests()} <= {report.as_uri(), "about:blank"}


@pytest.mark.parametrize(("state", "condition"), FILTERS, ids=lambda value: json.dumps(value)[:40])
def test_a_view_holds_the_pairs_that_a_query_finds(browser, page, pairs, state, condition):
    page(f"#trajectories?{urlencode(state, doseq=True)}")
    assert number_found(browser) == pairs.execute(f"SELECT count(*) FROM pairs WHERE {condition}").fetchone()[0]
    shown = browser.run("document.querySelectorAll('.pair').length")
    assert shown == min(number_found(browser), 20)


def test_the_form_narrows_the_list_and_the_address_reopens_the_view(browser, page, pairs):
    page("#trajectories")
    browser.run("document.querySelector('input[value=\"i->c\"]').click()")
    browser.run("document.getElementById('words').focus()")
    browser("Input.insertText", text="green")
    condition = "transition = 'i->c' AND texts LIKE '%green%'"
    expected = pairs.execute(f"SELECT count(*) FROM pairs WHERE {condition}").fetchone()[0]
    browser.wait_for("location.hash.includes('green')")
    assert number_found(browser) == expected
    anchor, texts = browser.run("location.hash"), browser.run("document.getElementById('pairs').textContent")
    page(anchor)
    assert browser.run("document.getElementById('pairs').textContent") == texts
    assert browser.run("document.getElementById('words').value") == "green"
    browser.run("document.getElementById('clear').click()")
    browser.wait_for("location.hash === '#trajectories'")
    assert number_found(browser) == pairs.execute("SELECT count(*) FROM pairs").fetchone()[0]


def test_differences_and_gold_are_marked_in_the_texts_as_they_are(browser, page, pairs):
    page("#trajectories?transition=i-%3Ec&split=train")
    cards = browser.run(
        "[...document.querySelectorAll('.pair')].map((card) => [...card.querySelectorAll('.text')].map((text) => ({"
        "text: text.textContent, changed: [...text.querySelectorAll('ins, del')].map((n) => n.textContent).join(''),"
        "gold: [...text.querySelectorAll('mark')].map((n) => n.textContent)})))"
    )
    rows = pairs.execute(
        "SELECT initial_answer, correction, answers FROM pairs WHERE transition = 'i->c' AND split = 'train'"
    ).fetchall()
    assert len(cards) == len(rows) > 0
    for (initial, correction), row in zip(cards, rows, strict=True):
        assert (initial["text"], correction["text"]) == row[:2]
        assert correction["changed"], "an i->c correction differs from its initial answer"
        assert row[2][0] in [text.strip() for text in correction["gold"]]
        assert row[2][0] not in initial["gold"]


def test_one_question_is_followed_through_all_iterations(browser, page, pairs):
    question_id, count = pairs.execute(
        "SELECT question_id, count(*) AS pairs FROM pairs GROUP BY question_id "
        "HAVING count(*) FILTER (transition = 'i->c') > 0 ORDER BY pairs DESC, question_id LIMIT 1"
    ).fetchone()
    page(f"#trajectories?question={question_id}")
    assert number_found(browser) == count > 2
    table = browser.run("[...document.querySelectorAll('#followed tbody tr')].map((row) => row.innerText.split('\\t'))")
    expected = pairs.execute(
        "SELECT 'M' || iteration, count(*), count(*) FILTER (transition = 'i->c') FROM pairs "
        f"WHERE question_id = '{question_id}' GROUP BY iteration ORDER BY iteration"
    ).fetchall()
    assert [(row[0].replace("\n", ""), int(row[1]), int(row[4])) for row in table] == expected


def test_the_keyboard_searches_steps_and_follows(browser, page):
    page("#trajectories")
    browser.press("/")
    assert browser.run("document.activeElement.id") == "words"
    browser.run("document.activeElement.blur()")
    browser.press("j")
    browser.press("j")
    browser.press("k")
    assert browser.run("document.activeElement === document.querySelector('.pair')")
    question = browser.run("document.activeElement.dataset.question")
    browser.press("f")
    browser.wait_for("!document.getElementById('followed').hidden")
    assert browser.run("location.hash") == f"#trajectories?question={question}"
    browser.press("Escape")
    browser.wait_for("document.getElementById('followed').hidden")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_both_schemes_hold_on_a_screen_and_on_a_phone(browser, page, tmp_path, scheme, width):
    browser.screen(width, 900, scheme)
    for anchor in VIEWS:
        page(anchor)
        browser.run("document.querySelectorAll('details').forEach((details) => (details.open = true))")
        assert browser.run("document.documentElement.scrollWidth") <= width, f"{anchor} scrolls sideways"
        assert browser.run(LOW_CONTRAST) == []
        browser.screenshot(tmp_path / f"{anchor[1:]}-{scheme}-{width}.png", whole_page=True)
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 3 * 128) == (scheme == "dark")


def test_the_button_overrides_the_systems_colors(browser, page):
    browser.screen(1280, 900, "light")
    page()
    seen = []
    for _ in range(3):
        seen.append(browser.run("getComputedStyle(document.body).backgroundColor"))
        browser.run("document.getElementById('theme').click()")
    system, light, dark = seen
    assert system == light != dark


@pytest.mark.parametrize("anchor", VIEWS)
def test_everything_one_can_act_on_has_a_name(browser, page, anchor):
    page(anchor)
    nodes = browser("Accessibility.getFullAXTree")["nodes"]
    acting = ("button", "link", "textbox", "searchbox", "combobox", "checkbox", "spinbutton", "region", "image")
    nameless = [
        node["role"]["value"]
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in acting and not node.get("name", {}).get("value")
    ]
    assert nameless == []
    assert sum(node["role"]["value"] in acting for node in nodes if not node["ignored"]) > 10


def test_the_printed_report_has_its_numbers_and_no_controls(browser, page):
    page()
    browser.run("window.dispatchEvent(new Event('beforeprint'))")
    browser("Emulation.setEmulatedMedia", media="print")
    assert browser.run("document.querySelectorAll('.report details:not([open])').length") == 0
    assert not browser.run("document.querySelector('.bar').checkVisibility()")
    assert browser("Page.printToPDF")["data"]
