"""Our top-p keeps what vLLM's own keeps, in every row that asks for it, however requests move through the batch."""

import random

import pytest
import torch
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import LogitsProcessors
from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p_pytorch
from vllm.v1.worker.gpu_input_batch import CachedRequestState, InputBatch

from generation.engines.top_p import TOP_K_SCHEDULE, TopPLogitsProcessor, keep_nucleus
from generation.engines.vllm import takes_our_top_p

VOCABULARY = 6000
ROUNDING = 2e-6  # of a probability summed up in float32
# Thousands of equal ones round one way: 9e-6 with AVX2, less with AVX-512.
ROUNDINGS = {"two values": 2e-5}


def normal(scale: float, rows: int = 24) -> torch.Tensor:
    return torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(1)) * scale


LOGITS = {
    "random": normal(3),
    "peaked": normal(8),
    "rounded to bfloat16": normal(3).bfloat16().float() / 0.6,
    "flat": normal(0.01),  # a nucleus beyond every head
    "equal": torch.zeros(2, VOCABULARY),
    "two values": torch.where(normal(1) > 2.5, 5.0, 0.0),
    "mostly masked": torch.where(normal(1) > 3, normal(2), -torch.inf),
    "one token": torch.nn.functional.one_hot(torch.arange(4), VOCABULARY) * 1000.0,
}


def ours(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    result = logits.clone()
    keep_nucleus(result, torch.arange(len(logits)), torch.full((len(logits),), top_p))
    return result


def theirs(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    return apply_top_k_top_p_pytorch(logits.clone(), None, torch.full((len(logits),), top_p), allow_cpu_sync=True)


def nucleus(logits: torch.Tensor, top_p: float, rounding: float = ROUNDING) -> tuple[torch.Tensor, torch.Tensor]:
    """(kept, certain): the definition in double precision, and whether rounding does not matter in a row."""
    ranked, order = logits.double().sort(dim=-1, descending=True, stable=True)  # of equals, the lowest id first
    before = ranked.softmax(-1).cumsum(-1) - ranked.softmax(-1)
    kept = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before < top_p)
    return kept & (logits > -torch.inf), ((before - top_p).abs() > rounding).all(-1)


@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", LOGITS)
def test_the_nucleus_is_vllms_own_and_that_of_the_definition(kind, top_p):
    logits = LOGITS[kind]
    found, own = ours(logits, top_p), theirs(logits, top_p)
    kept, certain = nucleus(logits, top_p, ROUNDINGS.get(kind, ROUNDING))
    assert torch.equal((found > -torch.inf)[certain], kept[certain])
    assert torch.equal(found[found > -torch.inf], logits[found > -torch.inf])
    # vLLM breaks ties by chance, so the logits it keeps are the same and the tokens are but for those at the end
    assert torch.equal(found.sort().values[certain], own.sort().values[certain])
    differs = (found != own) & certain[:, None]
    least = found.masked_fill(found == -torch.inf, torch.inf).amin(-1, keepdim=True)
    assert (logits == least)[differs].all()


def test_rows_in_all_three_ways_are_among_the_cases():
    sizes = torch.cat([(ours(logits, 0.9) > -torch.inf).sum(-1) for logits in LOGITS.values()])
    assert (sizes < TOP_K_SCHEDULE[0]).any()
    assert ((sizes > TOP_K_SCHEDULE[0]) & (sizes < TOP_K_SCHEDULE[1])).any()
    assert (sizes > TOP_K_SCHEDULE[1]).any()


def test_a_row_alone_gives_what_it_gives_in_a_batch():
    batch = torch.cat(list(LOGITS.values()))
    together = ours(batch, 0.9)
    for row in range(0, len(batch), 7):
        assert torch.equal(ours(batch[row : row + 1], 0.9)[0], together[row])


def test_rows_that_do_not_ask_stay_as_they_are():
    batch = torch.cat(list(LOGITS.values()))
    result, rows = batch.clone(), torch.tensor([5, 40, 2])
    keep_nucleus(result, rows, torch.tensor([0.9, 0.5, 0.2]))
    for row, top_p in zip(rows.tolist(), (0.9, 0.5, 0.2), strict=True):
        assert torch.equal(result[row], ours(batch[row : row + 1], top_p)[0])
    others = torch.ones(len(batch), dtype=torch.bool).index_fill(0, rows, False)
    assert torch.equal(result[others], batch[others])


def request(name: str, draw: random.Random) -> CachedRequestState:
    top_p = draw.choice([None, None, 0.2, 0.5, 0.9])
    params = SamplingParams(temperature=0.7, extra_args=None if top_p is None else {"top_p": top_p})
    return CachedRequestState(name, [1, 2, 3], [], params, None, ([0],), 0, [])


def test_requests_keep_their_top_p_while_they_come_go_and_move():
    """On vLLM's own persistent batch, which moves requests into gaps, and swaps them when a backend reorders it."""
    draw, device, logits = random.Random(0), torch.device("cpu"), normal(2, 12)
    processor = TopPLogitsProcessor(None, device, False)
    batch = InputBatch(12, 64, 64, device, VOCABULARY, [32], [2], logitsprocs=LogitsProcessors([processor]))
    present: dict[str, CachedRequestState] = {}
    moves = 0
    for step in range(300):
        for name in draw.sample(sorted(present), draw.randint(0, len(present))) if draw.random() < 0.4 else ():
            del present[name]
            batch.remove_request(name)
        for index in range(draw.randint(0, 12 - len(present)) if draw.random() < 0.4 else 0):
            name = f"{step}-{index}"
            present[name] = request(name, draw)
            batch.add_request(present[name])
        before = dict(batch.req_id_to_index)
        batch.condense()
        if len(present) > 1 and draw.random() < 0.3:
            batch.swap_states(*draw.sample(range(len(present)), 2))
        moves += before != batch.req_id_to_index
        batch.refresh_metadata()
        result = processor.apply(logits[: len(present)].clone())
        for row, name in enumerate(batch.req_ids):
            asked = (present[name].sampling_params.extra_args or {}).get("top_p")
            expected = logits[row] if asked is None else ours(logits[row : row + 1], asked)[0]
            assert torch.equal(result[row], expected)
    assert moves > 50


@pytest.mark.parametrize("more", ["top_k", "min_p", "extra_args"])
def test_vllms_own_is_used_where_the_order_of_steps_would_matter(more):
    assert takes_our_top_p({"top_p": 0.9}, {"dtype": "bfloat16"})
    assert not takes_our_top_p({"top_p": 1.0}, {})
    assert not takes_our_top_p({"top_p": 0.9, more: 1}, {})
    assert not takes_our_top_p({"top_p": 0.9}, {"logits_processors": ["mine:Processor"]})
