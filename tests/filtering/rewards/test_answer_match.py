"""answer_match: a gold is found in the final answer as a person finds it, whatever the numbers, typography, script."""

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtering.rewards import answer_match, in_accuracy_final
from filtering.rewards.answer_match import fold
from filtering.rewards.normalize import NORMALIZED
from filtering.rewards.numbers import with_words

NUMBERS = [  # text, gold, score
    ("2.75", "75", 0), ("2.75", "2", 0), ("2.75", "2.75", 1), ("7,250", "250", 0), ("7,250 m", "7250 m", 1),
    ("-8", "8", 0), ("−8", "-8", 1), ("minus 8", "-8", 1), ("1914-18", "1914", 1), ("7–3", "7-3", 1), ("7/8", "8", 0),
    ("\\frac{7}{8}", "7/8", 1), ("8^3", "3", 0), ("40 m^2", "40", 1), ("40 m²", "2", 0), ("40 m²", "40 m^2", 1),
    ("3.0e6", "3,000,000", 1), ("3 million", "3,000,000", 1), ("three million", "3 million", 1), ("seven", "7", 1),
    ("7", "seven", 1), ("twenty-one", "21", 1), ("one of them", "1", 0), ("40%", "40", 1), ("$40", "40", 1),
    ("12 000 people", "12,000", 1), ("10:45", "45", 0), ("the 1980s", "1980", 0), ("the 1980s", "1980s", 1),
    ("the 2nd", "2", 0), ("the 2nd", "2nd", 1), ("12km", "12 km", 1),
    ("12 km", "12km", 1), ("2Pac", "2", 0), ("3D", "3D", 1),
    ("COVID-19", "COVID-19", 1), ("H2O", "2", 0), ("2014/15", "2014", 1), ("19840", "1984", 0),
]  # fmt: skip
DATES = [
    ("9 May 1950", "May 9, 1950", 1), ("May 9th, 1950", "9 May 1950", 1), ("the 9th of May, 1950", "May 9", 1),
    ("1950-05-09", "May 9, 1950", 1), ("May 9, 1950", "1950", 1), ("May 9, 1950", "May 1950", 1), ("May 9", "May 8", 0),
]  # fmt: skip
TYPOGRAPHY = [
    ("D’Arcy", "D'Arcy", 1), ("“Oslo”", "Oslo", 1), ("Jean‑Luc", "Jean-Luc", 1), ("Jean–Luc", "Jean-Luc", 1),
    ("Os\u200blo", "Oslo", 1), ("Os\u00adlo", "Oslo", 1), ("\ufeffOslo", "Oslo", 1),
    ("ﬂute", "flute", 1), ("Ｏｓｌｏ", "Oslo", 1),
    ("Henry Ⅷ", "Henry VIII", 1), ("Dvorak", "Dvořák", 1), ("Łódź", "Lodz", 1),
    ("Gauß", "Gauss", 1), ("İzmir", "Izmir", 1),
    ("Simon and Garfunkel", "Simon & Garfunkel", 1), ("the Hague", "The Hague", 1), ("Parisian", "Paris", 0),
]  # fmt: skip
SCRIPTS = [
    ("奥斯陆是首都", "奥斯陆", 1), ("大阪です", "大阪", 1), ("水素", "水", 0),
    ("水です", "水", 1), ("オスロです", "オスロ", 1),
    ("オスロー", "オスロ", 0), ("レオナルド・ダ・ヴィンチ", "ダ・ヴィンチ", 1),
    ("レオナルド ダ ヴィンチ", "レオナルド・ダ・ヴィンチ", 1),
    ("부산은 항구다", "부산", 1), ("신부산", "부산", 0), ("เชียงใหม่อยู่ทางเหนือ", "เชียงใหม่", 1), ("ปารีส", "ปาร", 0),
    ("1984年", "1984", 1), ("1984년에", "1984", 1), ("全部で12人", "12", 1),
    ("12人", "1", 0), ("१९८४", "1984", 1), ("١٩٨٤", "1984", 1),
    ("القَاهِرَة", "القاهرة", 1), ("Москва́", "москва", 1), ("मुंबई।", "मुंबई", 1), ("मुंबईकर", "मुंबई", 0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "gold", "score"), [*NUMBERS, *DATES, *TYPOGRAPHY, *SCRIPTS])
def test_a_gold_is_found_as_a_person_would(text, gold, score):
    assert answer_match([text], [[gold]]) == [score]
    assert answer_match([f"It is {text}, I think"], [["Rome", gold]]) == [score]


def test_only_the_final_answer_is_looked_at():
    texts = ["Bergen? No.\nFinal Answer: Oslo", "<think>Bergen</think>Oslo", "Oslo\n\nThe answer is not Bergen."]
    assert answer_match(texts, [["Bergen"]] * 3).tolist() == [0, 0, 0]
    assert answer_match(texts, [["Oslo"]] * 3).tolist() == [1, 1, 1]


@pytest.mark.parametrize("alias", ["*", "---", "the", "", "“”", "\u200b"])
def test_an_alias_without_tokens_never_matches(alias):
    assert answer_match(["*", "", "the", "---", "x"], [[alias]] * 5).tolist() == [0] * 5


WORDS = [
    "the",
    "a",
    "Oslo",
    "oslo",
    "Bergen",
    "St.",
    "Mary's",
    "rock-n-roll",
    "AC/DC",
    "U.S.A.",
    "(x)",
    "C++",
    "_y_",
    "km",
    "x,",
]


def test_words_in_ascii_score_as_in_accuracy():
    rng = random.Random(0)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, 6))) for _ in range(3_000)]
    golds = [[" ".join(rng.choices(WORDS, k=rng.randint(1, 2))) for _ in range(3)] for _ in texts]
    scores = answer_match(texts, golds).tolist()
    assert scores == in_accuracy_final(texts, golds).tolist()
    assert 500 < sum(scores) < 2_500


@given(st.text(st.sampled_from(string.ascii_letters + " .,-'()_"), max_size=40))
def test_words_in_ascii_are_folded_as_in_accuracy_normalizes(text):
    assert fold(text).split() == with_words(NORMALIZED([text])[0].split())


@pytest.mark.parametrize(
    "part", ["1", "1,", "12,", "1 ", "1.", "1/", "- ", "(", "^", "\\frac{1}", "é", "1e", "分", "\u0e38", "½"]
)
def test_long_repetitions_take_linear_time(part):
    fold(part * 30_000)  # a quadratic search would take minutes
