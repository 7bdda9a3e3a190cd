"""What the stage's engine has vLLM's front end do for a request, counted."""

import json
import os
import subprocess
import sys

import pytest

from tests.benchmarks.count_outputs import TOKENS
from tests.conftest import ROOT

pytest.importorskip("vllm")


@pytest.fixture(scope="module")
def counted(tiny_model) -> list[dict]:
    """Of requests as they are, and of those that ask for log-probabilities."""
    command = [sys.executable, "-m", "tests.benchmarks.count_outputs", str(tiny_model), "{}", '{"logprobs": 0}']
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_one_output_is_built_for_each_finished_request(counted):
    plain, _ = counted
    assert plain["built"] == {"CompletionOutput": plain["requests"], "RequestOutput": plain["requests"]}
    assert plain["samples"] == [[TOKENS, 96, None]] * plain["requests"]


def test_log_probabilities_come_when_asked_for(counted):
    _, asked = counted
    assert asked["samples"] == [[TOKENS, 96, -0.5 * TOKENS]] * asked["requests"]
    assert asked["built"]["CompletionOutput"] == asked["requests"]
