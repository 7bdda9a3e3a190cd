"""What one writes without an engine: transformers.generate on batches of prompts that are padded on the left."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from benchmarks.measure import clock
from conf.schema import Config

BATCH = 32


class LeftPadded:
    """transformers.generate on prompts in left-padded batches; stops: the ids that end a completion."""

    def __init__(self, folder: Path, config: Config, stops: list[int], prompts: list[list[int]]) -> None:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, config.engine.args["dtype"]))
        self.model = model.to(config.device).eval()
        self.num_parameters = model.num_parameters()
        self.config, self.stops, self.prompts = config, stops, prompts

    def generate(self) -> float:
        """Seconds per generated token."""
        started, tokens = clock(self.config.device), 0
        for start in range(0, len(self.prompts), BATCH):
            batch = self.prompts[start : start + BATCH]
            longest = max(map(len, batch))
            ids = torch.tensor([[self.stops[0]] * (longest - len(prompt)) + prompt for prompt in batch])
            mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in batch])
            sampling = self.config.sampling
            output = self.model.generate(
                ids.to(self.config.device), attention_mask=mask.to(self.config.device), do_sample=True,
                temperature=sampling.temperature, top_p=sampling.top_p, top_k=0, max_new_tokens=sampling.max_tokens,
                min_new_tokens=sampling.args.get("min_tokens"), eos_token_id=self.stops, pad_token_id=self.stops[0],
            )  # fmt: skip
            tokens += sum(self.length(row) for row in output[:, longest:].tolist())
        return (clock(self.config.device) - started) / tokens

    def length(self, row: list[int]) -> int:
        """Up to the first stop token, which counts."""
        return next((at + 1 for at, token in enumerate(row) if token in self.stops), len(row))
