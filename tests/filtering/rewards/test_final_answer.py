"""The final answer is what stands behind the last marker, whatever its markdown."""

import pytest

from filtering.rewards.final_answer import after_marker, final_answer

MARKED = {
    "Final Answer: Paris": "Paris",
    "It was London.\n**Final Answer:** Paris": "Paris",
    "It was London.\n**Final Answer**: **Paris**": "Paris",
    "### Final Answer\n\nParis\n\nI am sure, it is not London.": "Paris",
    "### FINAL ANSWER:\nParis\n": "Paris",
    "so the final answer is Paris.": "Paris.",
    "Answer: London\nAnswer: Paris": "Paris",
    "> *Corrected answer:* Paris": "Paris",
    "The answer is Paris": "Paris",
    "Initial answer: London\nFinal  Answer : Paris": "Paris",
    "İ İ final answer: İzmir": "İzmir",
    "3 * 6 = 18\n#### 18": "18",
    "Final Answer: 17\n#### 1,800.50\n": "1,800.50",
    "Final Answer:": "",
    "**Final Answer:**\n": "",
}
UNMARKED = [
    "Paris",
    "",
    "The capital of France is Paris.",
    "I do not think that the answer is London, but Paris",
    "Paris. That is my final answer.",
    "Paris is my final answer",
    "Other answers: Paris",
    "#### Step 3",
    "## 18",
]


@pytest.mark.parametrize("text", MARKED)
def test_the_paragraph_behind_the_last_marker_counts(text):
    assert after_marker(text) == final_answer(text) == MARKED[text]


@pytest.mark.parametrize("text", UNMARKED)
def test_without_a_marker_the_whole_text_counts(text):
    assert after_marker(text) is None
    assert final_answer(text) == text


@pytest.mark.parametrize("part", ["answer ", "final ", " ", "*", "#### ", "\n", "answer\n", "answer:"])
def test_long_repetitions_take_linear_time(part):
    final_answer(part * 100_000)  # a quadratic search would take minutes
