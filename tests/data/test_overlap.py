import json
import random
from collections import Counter

import pytest

from data.overlap import (
    JACCARD,
    MIN_TEMPLATE,
    OVERLAP,
    TEMPLATE,
    VARYING_JACCARD,
    compare_splits,
    find_overlap,
    ngrams,
    read_overlap,
    shared_with_train,
)
from data.rows import Question
from store.errors import CorruptArtifact
from store.fingerprint import digest_bytes
from store.shards import Manifest


def question(question_id: str, text: str, *answers: str) -> Question:
    return Question(question_id, text, list(answers or ("nothing in common " + question_id,)), "file", 1)


SEEN = [
    question("exact", "Who sang Help?", "The Beatles"),
    question("words", "when was the last time Scotland won the Calcutta Cup", "2018"),
    question("near", "when s the last time the astros won the world series", "2017"),
    question("far", "how many wing stops are there in the united states", "1,200"),
]
HELD_OUT = [
    question("a", "Who sang Help?", "Lennon"),
    question("b", "When was last time Scotland won the Calcutta Cup?", "1999"),
    question("c", "when was the last time the astros won the world series", "2005"),
    question("d", "how many ymcas are there in the united states", "1200", "1 200"),
    question("e", "which band came from Liverpool", "beatles"),
    question("f", "what is lava", "rock"),
]


def test_each_kind_of_overlap_is_found_with_its_match():
    found = find_overlap(SEEN, HELD_OUT)
    assert found == {
        "a": {"exact": "exact", "normalized": "exact", "near_duplicate": "exact"},
        "b": {"normalized": "words", "near_duplicate": "words"},
        "c": {"near_duplicate": "near"},
        "d": {"shared_answer": "far"},
        "e": {"shared_answer": "exact"},
    }


def test_every_pair_of_splits_is_compared_and_counted():
    splits = {"train": SEEN, "validation": [question("v", "what is lava", "stone")], "test": HELD_OUT}
    overlap = compare_splits(splits)
    assert list(overlap["counts"]) == ["train/validation", "train/test", "validation/test"]
    assert overlap["counts"]["train/test"] == {
        "questions": 6,
        "exact": 1,
        "normalized": 2,
        "near_duplicate": 3,
        "shared_answer": 2,
    }
    assert overlap["flags"]["validation/test"] == {
        "f": {"exact": "v", "normalized": "v", "near_duplicate": "v"},
    }


def test_a_question_is_flagged_for_what_it_shares_with_train_alone():
    overlap = compare_splits({"train": SEEN, "validation": HELD_OUT[5:], "test": HELD_OUT})
    found = shared_with_train(overlap, "test")
    assert found == {key: ["overlap"] for key in "abc"} | {key: ["shared_answer"] for key in "de"}
    assert shared_with_train(overlap, "train") == {}


def jaccard(one: str, other: str, without: frozenset[str] = frozenset()) -> float:
    grams = ngrams(one) - without, ngrams(other) - without
    return len(grams[0] & grams[1]) / len(grams[0] | grams[1]) if grams[0] | grams[1] else 1.0


def template_of(seen: list[Question]) -> frozenset[str]:
    counts = Counter(gram for q in seen for gram in ngrams(q.key))
    return frozenset(gram for gram, count in counts.items() if count > max(TEMPLATE * len(seen), MIN_TEMPLATE))


def test_questions_of_one_template_are_compared_by_what_varies():
    text = "Which of these two numbers is larger: {} or {}?"
    seen = [question(str(i), text.format(i, 7 * i), str(7 * i)) for i in range(50, 250)]
    new = question("new", text.format(31, 977), "977")
    again = question("again", "which of these two numbers is larger, 60 or 420", "420")
    reworded = question("reworded", "Which of those two numbers is larger: 60 or 420?", "420")
    found = find_overlap(seen, [new, again, reworded])
    assert "new" not in found and found["again"]["near_duplicate"] == found["reworded"]["near_duplicate"] == "60"


def test_near_duplicates_are_those_of_comparing_every_pair():
    rng = random.Random(0)
    words = ["who", "what", "sang", "won", "the", "last", "song", "cup", "in", "of", "2000", "world", "series"]
    texts = [" ".join(rng.choices(words, k=rng.randrange(1, 9))) for _ in range(300)]
    seen = [question(str(i), text) for i, text in enumerate(texts[:150])]
    held_out = [question(str(i), text) for i, text in enumerate(texts[150:])]
    template = template_of(seen)
    assert len(template) > 20
    expected = {}
    for q in held_out:
        alike = [jaccard(q.key, s.key) for s in seen if jaccard(q.key, s.key, template) >= VARYING_JACCARD]
        if max(alike, default=0) >= JACCARD:
            expected[q.question_id] = max(alike)
    found = {i: m["near_duplicate"] for i, m in find_overlap(seen, held_out).items() if "near_duplicate" in m}
    assert 20 < len(expected) < 150 and found.keys() == expected.keys()
    assert all(jaccard(seen[int(match)].key, held_out[int(i)].key) == expected[i] for i, match in found.items())


def test_short_and_empty_splits_are_compared_too():
    assert find_overlap([], HELD_OUT) == {}
    assert find_overlap([question("s", "?")], [question("h", "?")])["h"]["near_duplicate"] == "s"
    assert list(compare_splits({"train": SEEN, "test": []})["counts"]) == ["train/test"]


def test_an_edited_overlap_file_is_refused(tmp_path):
    content = json.dumps(compare_splits({"train": SEEN, "test": HELD_OUT})).encode()
    (tmp_path / OVERLAP).write_bytes(content)
    manifest = Manifest("questions", 0, {}, {}, 0, 0, 0, {}, extra={"reports": {OVERLAP: digest_bytes(content)}})
    assert "a" in read_overlap(tmp_path, manifest)["flags"]["train/test"]
    (tmp_path / OVERLAP).write_bytes(content.replace(b'"a"', b'"z"'))
    with pytest.raises(CorruptArtifact):
        read_overlap(tmp_path, manifest)
