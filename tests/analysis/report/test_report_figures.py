"""Every figure that the report shows is the one in metrics.json, and what a query over the Parquet files gives."""

import json
from html.parser import HTMLParser

import duckdb
import pytest

from analysis.stats.taxonomy import CATEGORIES, classify
from store.schemas import TRANSITIONS

SHARES = {  # as DuckDB sees them; shares of what the second condition selects
    "t1": ("transition IN ('c->i', 'c->c')", "true"),
    "t2": ("transition IN ('i->c', 'c->c')", "true"),
    **{name: (f"transition = '{name}'", "true") for name in TRANSITIONS},
    "i->c_of_incorrect": ("transition = 'i->c'", "transition IN ('i->c', 'i->i')"),
    "c->i_of_correct": ("transition = 'c->i'", "transition IN ('c->i', 'c->c')"),
    "copy_rate": ("is_copy", "true"),
    "initial_truncation_rate": ("initial_finish_reason = 'length'", "true"),
    "correction_truncation_rate": ("correction_finish_reason = 'length'", "true"),
    "initial_format_failure_rate": ("list_contains(flags, 'initial_no_final_answer')", "true"),
    "correction_format_failure_rate": ("list_contains(flags, 'correction_no_final_answer')", "true"),
}


class Figures(HTMLParser):
    """{key: (value, text)} of every <data> element that has a key; a key occurs once."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: dict[str, tuple[float, str]] = {}
        self._open: tuple[str, float] | None = None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "data" and "data-figure" in attributes:
            self._open = attributes["data-figure"], float(attributes["value"])

    def handle_data(self, text):
        if self._open is not None:
            key, value = self._open
            assert self.found.setdefault(key, (value, text)) == (value, text), f"{key} has two values"
            self._open = None


@pytest.fixture(scope="module")
def figures(report):
    return Figures(report.read_text(encoding="utf-8")).found


@pytest.fixture(scope="module")
def pairs(loop):
    connection = duckdb.connect()
    connection.create_function("classify", classify, ["VARCHAR", "VARCHAR", "VARCHAR"], "VARCHAR")
    files = loop[1].dir / "iter_*" / "trajectories" / "*.parquet"
    connection.execute(
        "CREATE TABLE pairs AS SELECT *, CAST(regexp_extract(filename, 'iter_(\\d+)', 1) AS INTEGER) AS iteration, "
        "classify(question, initial_answer, correction) AS change "
        f"FROM read_parquet('{files}', filename = true)"
    )
    return connection


def expected_from_queries(pairs) -> dict[str, float]:
    """The figures that the pairs alone decide."""
    expected = {}
    for split, n in pairs.execute("SELECT DISTINCT split, iteration FROM pairs").fetchall():
        rows = f"FROM pairs WHERE split = '{split}' AND iteration = {n}"

        def one(what: str, rows: str = rows) -> float:
            return pairs.execute(f"SELECT {what} {rows}").fetchone()[0]

        key = f"{split}.{n}"
        expected[f"{key}.num_pairs"] = one("count(*)")
        expected[f"{key}.num_questions"] = one("count(DISTINCT question_id)")
        for name, (part, whole) in SHARES.items():
            expected[f"{key}.{name}"] = one(f"avg(CAST({part} AS INTEGER)) FILTER ({whole})")
        expected[f"{key}.delta"] = expected[f"{key}.t2"] - expected[f"{key}.t1"]
        for name in TRANSITIONS:
            expected[f"{key}.{name}.count"] = one(f"count(*) FILTER (transition = '{name}')")
        for change in CATEGORIES:
            expected[f"change.{key}.{change}"] = one(f"count(*) FILTER (change = '{change}')")
            for name in TRANSITIONS:
                condition = f"transition = '{name}' AND change = '{change}'"
                expected[f"change.{key}.{change}.{name}"] = one(f"count(*) FILTER ({condition})")
        if split == "train":
            expected[f"{key}.num_kept"] = one("count(*) FILTER (kept)")
            for (reason,) in pairs.execute(f"SELECT DISTINCT reason FROM pairs WHERE split = '{split}'").fetchall():
                expected[f"{key}.reason.{reason}"] = one(f"count(*) FILTER (reason = '{reason}')")
    return {key: value for key, value in expected.items() if value is not None}


def expected_from_metrics(run) -> dict[str, float]:
    """The figures of metrics.json that the report shows under the same name, or as a part of another key."""
    expected = {}
    for iteration in run.iterations():
        for split, values in json.loads(iteration.metrics.read_text())["splits"].items():
            key = f"{split}.{iteration.number}"
            shown = {name: values[name] for name in ("num_questions", "num_pairs", "t1", "t2", "delta", "copy_rate")}
            shown |= {f"{name}.count": entry["count"] for name, entry in values["transitions"].items()}
            shown |= {name: entry["rate"] for name, entry in values["transitions"].items()}
            for side in ("initial", "correction"):
                shown[f"{side}_truncation_rate"] = values[f"{side}_truncation_rate"]
                failures = values[f"num_{side}_format_failures"]
                shown[f"{side}_format_failure_rate"] = failures / values["num_pairs"]
            if split == "train":
                shown["num_kept"] = values["num_kept"]
                shown |= {f"reason.{reason}": count for reason, count in values["reasons"].items()}
            expected |= {f"{key}.{name}": value for name, value in shown.items()}
    return expected


def expected_costs(run) -> dict[str, float]:
    expected, seconds = {}, 0.0
    for iteration in run.iterations():
        for path in iteration.stats.glob("*.json"):
            stage, costs = path.stem.partition("-")[0], json.loads(path.read_text())
            seconds += costs["seconds"]
            for name in ("seconds", "prompt_tokens", "generated_tokens", "trained_tokens", "engine_starts"):
                if name in costs:
                    expected[f"cost.{iteration.number}.{stage}.{name}"] = costs[name]
    return expected | {"cost.all.seconds": seconds}


def test_figures_are_those_of_a_query_over_the_pairs(figures, pairs):
    expected = expected_from_queries(pairs)
    assert len(expected) > 300
    found = {key: figures[key][0] for key in expected}
    assert found == pytest.approx(expected, abs=1e-12)


def test_figures_are_those_of_metrics_json(figures, loop):
    expected = expected_from_metrics(loop[1])
    assert len(expected) > 100
    assert {key: figures[key][0] for key in expected} == pytest.approx(expected, abs=1e-12)


def test_costs_are_those_that_the_stages_wrote(figures, loop):
    expected = expected_costs(loop[1])
    assert {key: figures[key][0] for key in expected} == pytest.approx(expected)
    tokens = sum(value for key, value in expected.items() if key.endswith(".generated_tokens"))
    assert figures["cost.all.generated_tokens"][0] == tokens


def test_the_claims_are_about_the_chosen_iterations(figures, pairs):
    def t2(split: str) -> dict[int, float]:
        shares = pairs.execute(
            "SELECT iteration, avg(CAST(transition LIKE '%->c' AS INTEGER)) FROM pairs "
            f"WHERE split = '{split}' GROUP BY ALL ORDER BY iteration"
        )
        return dict(shares.fetchall())

    validation, test = t2("validation"), t2("test")
    best = max(validation, key=lambda n: (validation[n], -n))
    claimed = [figures[f"claim.{i}.t2"][0] for i in range(3)]
    assert claimed == pytest.approx([test[best], test[max(test)], max(test.values())])


def test_no_figure_is_unaccounted_for(figures, pairs, loop):
    known = expected_from_queries(pairs).keys() | expected_costs(loop[1]).keys()
    derived = ("claim.", "part.", "cost.")  # of the above; costs also hold rows, memory and shares
    assert {key for key in figures if key not in known and not key.startswith(derived)} == set()


def test_what_is_shown_is_the_value_rounded(figures):
    for key, (value, text) in figures.items():
        shown = float(text.replace(",", ""))
        scale = 100 if isinstance(value, float) and "." in text and not key.startswith("cost.") else 1
        assert shown == pytest.approx(scale * value, abs=0.51 if "." not in text else 0.051), key
