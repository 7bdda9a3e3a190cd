"""Numeric: the last number of the final answer, by value, however it is written."""

from fractions import Fraction

import pytest

from filtering.rewards import numeric
from filtering.rewards.final_answer import final_answer
from filtering.rewards.numeric import last_number, not_one_number
from store.errors import BadInput

NUMBERS = {
    "She makes $18 every day.": "18", "9 * 2 = 18": "18", "#### 18": "18", "\\boxed{1,234.50}$": "1234.5", "-7": "-7",
    "it lost -$3.20.": "-3.2", "from 10-18": "18", "x is .5": "0.5", "1,2,3": "3", "15%": "15", "24 \\%": "24",
    "Final Answer: 42 eggs\n\n(that is 3.5 dozen)": "42", "**42**": "42", "x_2 = 42": "42", "\\(42\\)": "42",
    # fractions and mixed numbers
    "7/8": "7/8", "The answer is 7 / 8.": "7/8", "\\frac{7}{8}": "7/8", "\\dfrac78": "7/8", "-\\frac{1}{4}": "-1/4",
    "2 3/4 cups": "11/4", "2\\frac{3}{4}": "11/4", "½": "1/2", "5½ miles": "11/2", "10/5/2021: 6": "6",
    # exponents
    "6.5e3": "6500", "6.5E-1": "0.65", "2.5 × 10^4": "25000", "2.5 \\times 10^{4}": "25000", "2.5×10⁴": "25000",
    "10^6": "1000000", "10^{-2}": "0.01",
    # units
    "42 cm^2": "42", "42 cm²": "42", "42 \\text{ cm}^2": "42", "42 m/s": "42", "42km": "42", "42 kg CO2": "42",
    # remarks
    "42 (see step 7)": "42", "42 [3]": "42", "(42)": "42", "forty-two (42)": "42",
    # separators
    "7 654 321": "7654321", "7\u202f654": "7654", "7\u00a0654": "7654", "7\u2009654": "7654", "76,54,321": "7654321",
    "7.654,32 €": "7654.32", "7.654.321": "7654321", "7'654": "7654", "7{,}654": "7654", "7\\,654": "7654",
    "1,5": "1.5",
    # signs and currency
    "−7 degrees": "-7", "–7": "-7", "minus 7": "-7", "$-7.50": "-7.5", "x = −7": "-7", "₹7": "7", "EUR 7": "7",
    # digits of other scripts, full-width, words
    "٧٥": "75", "٧٫٥": "7.5", "७५": "75", "７５": "75", "seventy-five": "75",
    "seven dollars": "7", "2.5 million": "2500000",
}  # fmt: skip
NO_NUMBERS = ["Paris", "2^10", "3**4", "at 10:45", "2024-05-17", "the 1990s", "H2O", "version 1.2.3", "1/0", "m^2", ""]


@pytest.mark.parametrize("text", NUMBERS)
def test_the_last_number_of_the_final_answer_is_read(text):
    assert last_number(final_answer(text)) == Fraction(NUMBERS[text])
    assert numeric([text], [[NUMBERS[text]]]) == [1]
    assert numeric([text], [["123456"]]) == [0]


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_has_digits_may_be_no_number(text):
    assert last_number(final_answer(text)) is None
    assert numeric([text], [["2"]]) == [0]


@pytest.mark.parametrize("text", ["7" * 5_000, "1e999999999", "1" + ",111" * 3_000, "10^99999"])
def test_numbers_beyond_all_measure_are_not_worked_out(text):
    assert numeric([text], [["7"]]) == [0]


def test_gsm8k_rationales_are_gold_answers_too():
    gold = "Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 duck eggs a day.\n#### 18"
    assert numeric(["18.00", "9"], [[gold]] * 2).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("gold", "problem"),
    [("Paris", "holds no number"), ("3 boxes of 6 are 18 eggs", "holds 3 numbers .*data.answer_marker"), ("18", None),
     ("$1,800.00", None), ("3 1/2 cups", None), ("18 (eighteen)", None), ("3 * 6 = 18\n#### 18 eggs", None)],
)  # fmt: skip
def test_a_gold_answer_is_one_number(gold, problem):
    if problem is None:
        assert not_one_number(gold) is None
    else:
        with pytest.raises(BadInput, match=f"'{gold}' {problem}"):
            numeric(["no number at all"], [[gold]])


def test_an_alias_that_is_no_number_stands_beside_one_that_is():
    assert numeric(["18", "19"], [["about 3 times 6", "18"]] * 2).tolist() == [1, 0]
