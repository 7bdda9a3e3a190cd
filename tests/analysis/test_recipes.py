"""What the screen says of a run's recipe."""

from analysis.recipes import describe


def test_a_split_whose_corrections_had_no_room_takes_no_tokens():
    counted = {"num_initial_answer_tokens": 30, "num_initial_answers": 10, "num_correction_tokens": 0}
    splits = {"train": {}, "test": counted | {"num_corrections": 0}}
    settings = {"prompt": {"num_answers": 3}}
    assert list(describe(settings, {0: {"splits": splits}})) == []
    splits["test"] = counted | {"num_corrections": 5, "num_correction_tokens": 20}
    assert list(describe(settings, {0: {"splits": splits}})) == [
        "M_0 on test: 13.0 generated tokens for an answer and its correction"
    ]
