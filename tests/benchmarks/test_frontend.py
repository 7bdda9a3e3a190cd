"""What the stage's engine has vLLM's front end do for a request, counted."""

import json
import os
import subprocess
import sys

import pytest

from tests.benchmarks.count_outputs import TOKENS
from tests.conftest import ROOT

pytest.importorskip("vllm")


def count(model, args: str) -> dict:
    command = [sys.executable, "-m", "tests.benchmarks.count_outputs", str(model), args]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_one_output_is_built_for_each_finished_request(tiny_model):
    counted = count(tiny_model, "{}")
    assert counted["built"] == {"CompletionOutput": counted["requests"], "RequestOutput": counted["requests"]}
    assert counted["samples"] == [[TOKENS, 96, None]] * counted["requests"]


def test_log_probabilities_come_when_asked_for(tiny_model):
    counted = count(tiny_model, '{"logprobs": 0}')
    assert counted["samples"] == [[TOKENS, 96, -0.5 * TOKENS]] * counted["requests"]
    assert counted["built"]["CompletionOutput"] == counted["requests"]
