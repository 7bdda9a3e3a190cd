"""What a user is told when no row was kept."""

import pytest

from training.empty import MEANING, explain


@pytest.mark.parametrize(("rate", "said"), [(None, False), (0.02, False), (0.9, True)])
def test_truncation_is_named_where_it_dominates(rate, said):
    transitions = {name: {"count": 1} for name in MEANING}
    train = {"num_pairs": 4, "transitions": transitions, "correction_truncation_rate": rate}
    text = explain(train, "improving")
    assert ("sampling.max_tokens" in text) == ("stop_token_ids" in text) == said
    assert "more questions" in text
