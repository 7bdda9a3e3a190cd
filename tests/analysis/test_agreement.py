"""Which texts two rewards are compared on."""

from analysis.agreement import texts_of


def test_a_verdict_that_keeps_the_initial_answer_is_that_answer_which_counts_once():
    pairs = [
        {"question_id": "q", "question": "?", "answers": ["Rome"], "initial_answer": y1, "correction": y2,
         "verdict": verdict, "initial_judge": float(y1 == "Rome"), "correction_judge": right}
        for y1, y2, verdict, right in [("Paris", "Yes", "keep", 0.0), ("Rome", "Yes", "keep", 1.0),
                                       ("Paris", "No. Rome", "replace", 1.0), ("Rome", "No. Paris", "replace", 0.0)]
    ]  # fmt: skip
    found = [(row["text"], row["judge"]) for row in texts_of(pairs, "train")]
    assert found == [("Paris", 0.0), ("Rome", 1.0), ("No. Rome", 1.0), ("No. Paris", 0.0)]
