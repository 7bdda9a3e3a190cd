"""The examples in docs/rewards.md score as the page says, and every reward is on it."""

import re

import pytest

from filtering.rewards import REWARDS
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "rewards.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^\| `(\w+)` \| `(.*?)` \| `(.*?)` \| ([\d.]+) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("reward", "text", "gold", "score"), EXAMPLES)
def test_the_examples_score_as_the_page_says(reward, text, gold, score):
    text = re.sub(r"(?<!\\)\\n", "\n", text)
    assert REWARDS[reward]([text], [[gold]])[0] == pytest.approx(float(score), abs=1e-3)


def test_the_function_of_ones_own_works():
    namespace: dict = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], namespace)
    found = namespace["score"](["who", "who"], ["It was Ada Lovelace", "Ada"], [["Ada"], ["Bob"]], [1, 1])
    assert found == [1, 0.5]


def test_every_reward_is_on_the_page():
    assert {reward for reward, *_ in EXAMPLES} == set(REWARDS)
    assert set(re.findall(r"^\| `(\w+)` \| the \w+", PAGE, re.MULTILINE)) == set(REWARDS)
