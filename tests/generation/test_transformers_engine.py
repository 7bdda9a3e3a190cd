import pytest
import torch

from generation.engines.interface import Request, SamplingSettings
from generation.engines.transformers import TransformersEngine
from store.errors import ConfigError

PROMPTS = [[1, 40, 41, 42], [1, 50, 51, 52, 53, 54, 55], [1, 60], [1, 70, 71], [1, 45, 46, 47, 48]]


def run(model, temperature=0.7, top_p=1.0, max_num_seqs=8, prompts=PROMPTS, args=None, greedy=()):
    settings = SamplingSettings(temperature, top_p, 12, (2,), {})
    engine = TransformersEngine(
        model,
        settings,
        {"dtype": "float32", "max_model_len": 512} | (args or {}),
        {"max_num_seqs": max_num_seqs},
        "cpu",
    )
    for index, prompt in enumerate(prompts):
        engine.submit(Request((str(index),), prompt, seed=index + 7, greedy=index in greedy))
    completions = {}
    while engine.num_in_flight:
        completions |= {completion.key: completion for completion in engine.step()}
    return completions


def test_greedy_tokens_are_those_of_generate(tiny_model):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    found = run(tiny_model, temperature=0)
    for index, prompt in enumerate(PROMPTS):
        expected = model.generate(
            torch.tensor([prompt]), do_sample=False, max_new_tokens=12, eos_token_id=2, pad_token_id=0,
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        )[0, len(prompt) :].tolist()  # fmt: skip
        assert found[str(index),].token_ids == expected


def test_a_sample_depends_on_its_seed_and_not_on_its_batch(tiny_model):
    together, alone = run(tiny_model), run(tiny_model, max_num_seqs=1)
    assert {key: c.token_ids for key, c in together.items()} == {key: c.token_ids for key, c in alone.items()}
    same_prompt = run(tiny_model, prompts=[PROMPTS[0]] * 4)
    assert len({tuple(c.token_ids) for c in same_prompt.values()}) == 4


def test_a_completion_ends_with_a_stop_token_or_at_the_limit(tiny_model):
    for completion in run(tiny_model, prompts=PROMPTS * 10).values():
        stopped = completion.token_ids[-1] == 2
        assert completion.finish_reason == ("stop" if stopped else "length")
        assert stopped or len(completion.token_ids) == 12
        assert 2 not in completion.token_ids[:-1]
        assert completion.cumulative_logprob < 0


def test_a_tiny_top_p_is_greedy(tiny_model):
    greedy, cut = run(tiny_model, temperature=0), run(tiny_model, top_p=1e-6)
    assert {key: c.token_ids for key, c in cut.items()} == {key: c.token_ids for key, c in greedy.items()}


def test_a_greedy_request_is_greedy_among_sampled_ones(tiny_model):
    mixed, sampled, greedy = run(tiny_model, greedy=(1, 3)), run(tiny_model), run(tiny_model, temperature=0)
    for index in range(len(PROMPTS)):
        expected = greedy if index in (1, 3) else sampled
        assert mixed[str(index),].token_ids == expected[str(index),].token_ids


def test_an_argument_it_does_not_know_is_refused(tiny_model):
    with pytest.raises(ConfigError, match="engine=vllm"):
        run(tiny_model, args={"quantization": "awq"})
