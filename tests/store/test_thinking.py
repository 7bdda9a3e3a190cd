"""What of a text is its answer, for every way in which models mark their thoughts."""

import pytest

from store.thinking import all_without_thinking, opened_thought, without_thinking

ANSWERS = {
    "Paris": "Paris",
    "  two\n\nlines \n": "  two\n\nlines \n",
    "": "",
    "if a < b then <b>Paris</b>, I think": "if a < b then <b>Paris</b>, I think",
    "<think>\nLyon? No, Nice.\n</think>\n\nParis": "Paris",
    "Lyon? No, Nice.\n</think>\n\nParis": "Paris",  # the template opened it
    "<think>Lyon</think> no <think>Nice</think> Paris": "Paris",
    "<thinking>Lyon</thinking>\nParis\n": "Paris",
    "[THINK]Lyon[/THINK]Paris": "Paris",
    "<think>\n\n</think>\n\nParis": "Paris",
    "<think>\nLyon? No, Ni": "",
    "<think>Lyon</think>Paris<think>or": "",
    "[THINK]Lyon": "",
    "<|channel|>analysis<|message|>Lyon?assistant<|channel|>final<|message|>Paris": "Paris",
    "<|channel|>analysis<|message|>Lyon?": "",
    "analysisThe user asks for a capital. Lyon?assistantfinalParis": "Paris",
    "analysisWe need a capital. Lyon?": "",
    "analysis of the question: Paris": "analysis of the question: Paris",
    "◁think▷Lyon?◁/think▷Paris": "Paris",
    "<|START_THINKING|>Lyon?<|END_THINKING|>Paris": "Paris",
    "<|begin_of_thought|>Lyon? <|end_of_thought|>\n\nParis": "Paris",
    "<|begin_of_thought|>Lyon?": "",
    "<answer>Paris</answer>": "Paris",
    "It is <answer>Lyon</answer>, no: <answer> Paris </answer>. Done.": "Paris",
    "<think>say <answer>Lyon</answer>?</think><answer>Paris": "Paris",
    "<think>say <answer>Lyon</answer>?": "",
}


@pytest.mark.parametrize("text", ANSWERS)
def test_the_answer_stands_behind_the_thoughts(text):
    assert without_thinking(text) == ANSWERS[text]
    assert without_thinking(without_thinking(text)) == ANSWERS[text]


def test_a_column_is_answered_as_each_text():
    plain = [text for text, answer in ANSWERS.items() if text == answer]
    for texts in (list(ANSWERS), plain, [], *([text] for text in ANSWERS)):
        assert all_without_thinking(texts) == [without_thinking(text) for text in texts]


@pytest.mark.parametrize(
    ("prompt", "opened"),
    [
        ("assistant\n<think>\n", "<think>\n"),
        ("assistant\n<think>\n\n</think>\n\n", ""),
        ("assistant\n", ""),
        ("[THINK]", "[THINK]"),
    ],
)
def test_a_thought_left_open_is_found(prompt, opened):
    assert opened_thought(prompt) == opened
