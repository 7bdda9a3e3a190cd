"""The final answer is the last box, else what stands behind the last marker, whatever its markdown or language."""

import pytest

from filtering.rewards.final_answer import after_marker, final_answer, final_answers

MARKED = {
    "Final Answer: Paris": "Paris",
    "It was London.\n**Final Answer:** Paris": "Paris",
    "It was London.\n**Final Answer**: **Paris**": "Paris",
    "### Final Answer\n\nParis\n\nI am sure, it is not London.": "Paris",
    "### FINAL ANSWER:\nParis\n": "Paris",
    "so the final answer is Paris.": "Paris.",
    "Answer: London\nAnswer: Paris": "Paris",
    "> *Corrected answer:* Paris": "Paris",
    "__Answer:__ Oslo": "Oslo",
    "Answer (one word): Oslo": "Oslo",
    "The answer is Paris": "Paris",
    "The answer is as follows:\n\nOslo": "Oslo",
    "Initial answer: London\nFinal  Answer : Paris": "Paris",
    "İ İ final answer: İzmir": "İzmir",
    "3 * 6 = 18\n#### 18": "18",
    "Final Answer: 17\n#### 1,800.50\n": "1,800.50",
    "so 7 a day\n#### 49 eggs\n\nCheck: 7 * 7 = 49": "49 eggs",
    "It is in Norway.\n#### Oslo\n": "Oslo",
    "Final Answer:": "",
    "**Final Answer:**\n": "",
    "Final Answer: so the answer is Oslo": "Oslo",
    "I said Bergen. The correct answer is Oslo.": "Oslo.",
    "It is west of Bergen, so the right answer would be Oslo": "Oslo",
    "I do not know it by heart, but I think the answer is Oslo": "Oslo",
    'The answer to the question "what is north" is Oslo': "Oslo",
    '{"answer": "Oslo"}': '"Oslo"}',
    "Answer - Oslo": "Oslo",
    "Answer — Oslo": "Oslo",
    "Answer： Oslo": "Oslo",
    "Q: Which city?\nA: Oslo": "Oslo",
    "Ans: Oslo": "Oslo",
    "Final result = 12": "12",
    "Antwort: Oslo": "Oslo",
    "La respuesta es Oslo": "Oslo",
    "Réponse : Oslo": "Oslo",
    "Правильный ответ — Осло": "Осло",
    "الجواب: أوسلو": "أوسلو",
    "उत्तर: ओस्लो": "ओस्लो",
    "我先想到卑尔根。正确答案是奥斯陆": "奥斯陆",
    "答案：奥斯陆": "奥斯陆",
    "答えはオスロ": "オスロ",
    "정답은 오슬로": "오슬로",
    "คำตอบคือออสโล": "ออสโล",
}
BOXED = {
    "\\boxed{Oslo}": "Oslo",
    "$\\boxed{\\text{Oslo}}$": "Oslo",
    "\\boxed{Bergen}? No, \\boxed{Oslo} it is.": "Oslo",
    "\\[ \\boxed{\\dfrac{3}{8}} \\]\n\nThe answer is three eighths.": "\\dfrac{3}{8}",
    "Answer: $\\boxed 5$": "5",
    "\\boxed{\\sqrt{x_{1}}} with a remark": "\\sqrt{x_{1}}",
}
UNMARKED = [
    "Paris",
    "",
    "The capital of France is Paris.",
    "I do not think that the answer is London, but Paris",
    "If the answer is London, then it rains",
    "Paris. That is my final answer.",
    "Paris is my final answer",
    "Other answers: Paris",
    "Initial answer: Paris",
    "The answer is Paris? I doubt it.",
    "#### Step 3\nAdd the two.",
    "#### 3. Add the two\nIt is Oslo.",
    "## 18",
    "A: London\nB: Paris",
    "an unclosed \\boxed{Paris",
    "Kansas: Paris",
]
VERDICTS = {  # text: what is left of it
    "The answer is correct.\n\nOslo": "Oslo",
    "Your answer is incorrect, it is Oslo": "it is Oslo",
    "Oslo\n\nYour answer was right!": "Oslo",
    "Oslo\n\nThis answer is based on an old map of Bergen.": "Oslo",
    "Oslo\nThe answer above is not Bergen.": "Oslo",
    "Oslo. The answer isn't Bergen": "Oslo.",
    "The answer is simple: Oslo": "Oslo",
    "The answer (Bergen) is wrong. Oslo": "Oslo",
    "The answer is above: Oslo": "Oslo",
    "回答正确。\n\n奥斯陆": "奥斯陆",
    "La réponse est correcte.\n\nOslo": "Oslo",
    "The answer is correct.": "The answer is correct.",  # nothing else is there
    "The answer (Oslo) is correct": "The answer (Oslo) is correct",  # the answer is in it
}
NO_VERDICTS = {
    "The answer is right ascension": "right ascension",
    "The answer is Not Without My Daughter": "Not Without My Daughter",
    "The answer is: correct": "correct",
    "The answer is clear water": "clear water",
    'The answer is "Wrong"': '"Wrong"',
}


@pytest.mark.parametrize("text", MARKED)
def test_the_paragraph_behind_the_last_marker_counts(text):
    assert after_marker(text) == final_answer(text) == MARKED[text]


@pytest.mark.parametrize("text", BOXED)
def test_the_last_box_counts_before_any_marker(text):
    assert after_marker(text) == BOXED[text]


@pytest.mark.parametrize("text", UNMARKED)
def test_without_a_marker_the_whole_text_counts(text):
    assert after_marker(text) is None
    assert final_answer(text) == text


@pytest.mark.parametrize("text", VERDICTS)
def test_a_verdict_is_no_answer(text):
    assert after_marker(text) is None
    assert final_answer(text) == VERDICTS[text]


@pytest.mark.parametrize("text", NO_VERDICTS)
def test_an_answer_may_look_like_a_verdict(text):
    assert after_marker(text) == NO_VERDICTS[text]


def test_a_verdict_behind_the_marker_is_left_out():
    assert final_answer("The right answer is Oslo. The answer is correct.") == "Oslo."
    assert final_answer("Final Answer: Oslo. I hope it is correct.") == "Oslo."


def test_a_column_gives_each_text_its_own_answer():
    texts = [*MARKED, *BOXED, *UNMARKED, *VERDICTS, *NO_VERDICTS]
    found = final_answers(texts)
    for row, text in enumerate(texts):
        assert (found[row].answer if row in found else text) == final_answer(text)
        assert (row in found and found[row].is_marked) == (after_marker(text) is not None)


@pytest.mark.parametrize(
    "part", ["answer ", "final ", " ", "*", "#### ", "\n", "answer\n", "answer:", "answer is not ", "the answer is? ",
             "\\boxed{", "{", "}", "A:", "\nA:", "#### x\n", "答案", "answer to the (", 'answer "']
)  # fmt: skip
def test_long_repetitions_take_linear_time(part):
    final_answer(part * 100_000)  # a quadratic search would take minutes
