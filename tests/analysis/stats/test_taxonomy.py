"""What corrections do: every rule on its own, and agreement with labels that a reader gave."""

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from analysis.stats.taxonomy import CATEGORIES, categories, classify

LABELLED = Path(__file__).parent / "labelled_pairs.jsonl"
FRANCE = "what is the capital of france"
WAR = "when did the war end"

CASES = [
    (FRANCE, "Paris", "Paris", "unchanged"),
    (FRANCE, "", "", "unchanged"),
    (FRANCE, "Paris", "", "refusal"),
    (FRANCE, "Paris", "I am not sure.", "refusal"),
    (FRANCE, "Paris", "I'm sorry, I cannot answer this.", "refusal"),
    (FRANCE, "Paris", "As an AI language model I have no opinion.", "refusal"),
    (FRANCE, "Paris", "What is the capital of France?", "refusal"),
    (FRANCE, "Paris", "paris.", "format_only"),
    (FRANCE, "Paris", "The capital of France is Paris.", "format_only"),
    (FRANCE, "The capital is **Paris**", "Paris", "format_only"),
    (FRANCE, "The river bends. Answer: Paris", "By size it is clear. Answer: Paris.", "rationale_only"),
    (FRANCE, "Paris, on the Seine", "Paris, as everybody knows", "rationale_only"),
    (FRANCE, "Paris", "Paris, Île-de-France", "added_detail"),
    (FRANCE, "Paris, Texas", "Paris", "removed_detail"),
    (FRANCE, "Paris", "Lyon", "other_entity"),
    (FRANCE, "", "Paris", "other_entity"),
    (FRANCE, "Paris", "not Paris", "added_detail"),
    (WAR, "1944", "1945", "number_or_date"),
    (WAR, "It ended on 8 May 1944", "In June 1945, in Berlin", "number_or_date"),
    (FRANCE, "Paris with 3 rivers", "Paris with 4 rivers", "number_or_date"),
    (FRANCE, "Paris, 3 rivers", "Lyon, 4 hills", "other_entity"),
    ("is it red or blue", "red", "blue", "other_entity"),
    ("is it red or blue", "red", "Red!", "format_only"),
    ("how many", "10,000", "10,000 or 12,000", "added_detail"),
]


@pytest.mark.parametrize(("question", "initial_answer", "correction", "expected"), CASES)
def test_a_rule_gives_its_class(question, initial_answer, correction, expected):
    assert classify(question, initial_answer, correction) == expected


def test_every_class_has_a_case_and_a_rule_in_words():
    assert {case[3] for case in CASES} == CATEGORIES.keys()
    assert all(rule.endswith(".") for rule in CATEGORIES.values())


ODD = ["a" * 100_000, "the " * 50_000, "answer: " * 20_000, "\u0301" * 10_000, "1,2" * 30_000]


@pytest.mark.parametrize("text", ODD, ids=lambda text: text[:10])
def test_odd_texts_are_classified_too(text):
    assert classify("why", text, text + " x") in CATEGORIES
    assert classify(text, "x", text) in CATEGORIES


def kappa(pairs: list[tuple[str, str]]) -> float:
    """Cohen's kappa: agreement beyond what the two marginal distributions give by chance."""
    labels, found = (Counter(side) for side in zip(*pairs, strict=True))
    agreement = sum(label == rule for label, rule in pairs) / len(pairs)
    chance = sum(labels[name] * found[name] for name in labels) / len(pairs) ** 2
    return (agreement - chance) / (1 - chance)


@pytest.mark.parametrize(("part", "at_least"), [("rules", 0.80), ("held out", 0.72)])
def test_the_rules_agree_with_a_reader(part, at_least):
    """190 pairs of SmolLM2-135M on Natural Questions (CC BY-SA 3.0), labeled before a rule was written. 110 are drawn
    from all pairs; 45 from those whose one text contains the other and 35 from those that are right at least once, as
    these are rare. One half served to write the rules, the other was looked at once, after them: 0.81 and 0.74."""
    rows = [json.loads(line) for line in LABELLED.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 190
    assert {row["label"] for row in rows} == CATEGORIES.keys()
    chosen = [row for row in rows if row["part"] == part]
    pairs = [(row["label"], classify(row["question"], row["initial_answer"], row["correction"])) for row in chosen]
    assert len(pairs) == 95
    assert kappa(pairs) >= at_least


def test_a_correction_with_a_verdict_does_what_the_answer_behind_it_does():
    pairs = [("Paris", "Yes", "keep"), ("Paris", "**Yes.** Lyon", "keep"), ("Paris", '"No". Lyon', "replace"),
             ("1918", "No, 1945", "replace"), ("Paris", "<think>No.</think>No. Lyon, France", "replace"),
             ("Paris", "", "missing")]  # fmt: skip
    before, after, verdicts = zip(*pairs, strict=True)
    columns = {"question": [WAR] * len(pairs), "initial_answer": before, "correction": after}
    found = categories(pa.table(columns | {"verdict": verdicts}))
    assert found == ["unchanged", "unchanged", "other_entity", "number_or_date", "other_entity", "refusal"]
    assert categories(pa.table(columns)) == [classify(WAR, *texts) for texts in zip(before, after, strict=True)]
