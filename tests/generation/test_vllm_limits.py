"""How many sequences run at a time, and up to how many with CUDA graphs, by the card."""

import pytest

pytest.importorskip("vllm")

from vllm.platforms import current_platform

from generation.engines.vllm import limits

PRESET = {"max_num_seqs": None, "max_model_len": 4096}


@pytest.fixture
def card(monkeypatch):
    """Has vLLM see a card of this name and so many GiB."""

    def put(name: str, gib: int) -> None:
        monkeypatch.setattr(type(current_platform), "get_device_total_memory", lambda *_: gib * 2**30, raising=False)
        monkeypatch.setattr(type(current_platform), "get_device_name", lambda *_: name, raising=False)
        monkeypatch.setattr(type(current_platform), "is_cpu", lambda *_: False)

    return put


@pytest.mark.parametrize(
    "name, gib, sequences",
    [("NVIDIA H200", 139, 1024), ("NVIDIA H100", 79, 1024), ("NVIDIA A100-SXM4-80GB", 79, 256), ("NVIDIA L4", 22, 256)],
)
def test_sequences_and_graphs_follow_the_card(card, name, gib, sequences):
    card(name, gib)
    found = limits(PRESET, "cuda")
    assert (found["max_num_seqs"], found["max_cudagraph_capture_size"]) == (sequences, sequences)


def test_numbers_of_the_user_stay(card):
    card("NVIDIA H200", 139)
    assert limits(PRESET | {"max_num_seqs": 300}, "cuda")["max_cudagraph_capture_size"] == 300
    assert limits(PRESET | {"max_num_batched_tokens": 512}, "cuda")["max_num_seqs"] == 512
    given = PRESET | {"max_num_seqs": 8, "cudagraph_capture_sizes": [1, 8]}
    assert limits(given, "cuda") == given


def test_a_cpu_captures_no_graphs():
    given = {"max_num_seqs": 128, "max_num_batched_tokens": 8192}
    assert limits(given, "cpu") == given
