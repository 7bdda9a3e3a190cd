"""Top-p for vLLM on CPU without sorting the vocabulary: the same nucleus, found among the likeliest tokens.

vLLM sorts all 49,152 logits of SmolLM2 for every token, which takes as long as the model itself. In nearly every row
the nucleus lies among the 64 likeliest tokens, and their probabilities are known from all logits without an order.
Rows where it does not are looked at again with more of them, at last with all.

It runs as a logits processor, after temperature; `extra_args={"top_p": p}` of SamplingParams asks for it, their own
`top_p` stays 1. Requests without that, greedy ones too, are not touched.
"""

from typing import Any

import torch
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

# How many of the likeliest tokens are looked at, in turn, before all are. At T 0.6 and top-p 0.9, 98 % of SmolLM2's
# nuclei are within the first 64, all within 512.
TOP_K_SCHEDULE = (64, 1024)


class TopPLogitsProcessor(LogitsProcessor):
    """Masks all but the nucleus of each request that asks for it, whatever else is in the batch."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self._top_p: dict[int, float] = {}  # by the request's row in the batch
        self._rows, self._mass = torch.tensor([], dtype=torch.long), torch.tensor([])

    def is_argmax_invariant(self) -> bool:
        return True

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow requests that come, go and move within the batch."""
        if process_dict_updates(self._top_p, batch_update, lambda params, *_: (params.extra_args or {}).get("top_p")):
            self._rows = torch.tensor(list(self._top_p), dtype=torch.long)
            self._mass = torch.tensor(list(self._top_p.values()))

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """logits: (batch, vocabulary), float32, after temperature; changed in place."""
        keep_nucleus(logits, self._rows, self._mass)
        return logits


def keep_nucleus(logits: torch.Tensor, rows: torch.Tensor, top_p: torch.Tensor) -> None:
    """Set to -inf, in these rows, all but the smallest set of likeliest tokens whose probability reaches top_p.

    Of tokens that are equally likely at its end, the set takes those with the lowest ids. logits: (batch, vocabulary),
    float32; rows, top_p: (n,). A row's result depends on that row alone.
    """
    size = logits.shape[-1]
    for head in (*(head for head in TOP_K_SCHEDULE if head < size), size):
        if not len(rows):
            return
        left = logits[rows]
        values, ids = left.topk(head)  # (n, head), likeliest first
        probabilities = left.softmax(-1).gather(-1, ids)
        before = probabilities.cumsum(-1) - probabilities  # of all that are likelier
        number = (before < top_p[:, None]).sum(-1, keepdim=True)  # in the nucleus; 1 or more
        least = values.gather(-1, number - 1)
        above, tied = values > least, values == least
        room = number - above.sum(-1, keepdim=True)  # for tied ones
        last = ids.masked_fill(~tied, size).sort(-1).values.gather(-1, room - 1)
        kept = values.masked_fill(~(above | tied & (ids <= last)), -torch.inf)
        found = (least > values[:, -1:])[:, 0] | (head == size)  # else the nucleus, or its ties, may go on
        logits.index_fill_(0, rows[found], -torch.inf)
        logits[rows[found, None], ids[found]] = kept[found]
        rows, top_p = rows[~found], top_p[~found]
