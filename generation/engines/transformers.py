"""transformers as an Engine, for machines where vLLM does not install: left-padded batches, one generator per row.

Several times slower than vLLM (make bench says how many). A batch runs to its longest completion within one step.
"""

from pathlib import Path
from typing import Any

from generation.engines.interface import Completion, Request, SamplingSettings
from store.errors import ConfigError


class TransformersEngine:
    def __init__(
        self, model: Path, sampling: SamplingSettings, args: dict[str, Any], throughput: dict[str, Any], device: str
    ) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        if sampling.args or set(args) - {"dtype", "max_model_len"}:
            raise ConfigError(
                f"engine=transformers knows engine.args dtype and max_model_len and no sampling.args, found "
                f"{sorted(set(args) | set(sampling.args))}: remove the others, or use engine=vllm"
            )
        self.max_num_seqs = throughput["max_num_seqs"]
        self._sampling, self._device = sampling, device
        self._waiting: list[Request] = []
        self._model = AutoModelForCausalLM.from_pretrained(
            model, dtype=getattr(torch, args["dtype"]), trust_remote_code=False
        )
        self._model.to(device).eval()

    @property
    def num_in_flight(self) -> int:
        return len(self._waiting)

    def submit(self, request: Request) -> None:
        self._waiting.append(request)

    def step(self) -> list[Completion]:
        batch, self._waiting = self._waiting[: self.max_num_seqs], self._waiting[self.max_num_seqs :]
        return self._generate(batch) if batch else []

    def close(self) -> None:
        self._waiting, self._model = [], None

    def _generate(self, batch: list[Request]) -> list[Completion]:
        import torch

        with torch.inference_mode():
            longest = max(len(request.prompt_token_ids) for request in batch)
            padding = [longest - len(request.prompt_token_ids) for request in batch]
            pad = self._sampling.stop_token_ids[0]
            ids = torch.tensor(
                [[pad] * p + request.prompt_token_ids for p, request in zip(padding, batch, strict=True)],
                device=self._device,
            )  # (batch, longest), prompts flush right
            mask = (
                torch.arange(longest, device=self._device)[None] >= torch.tensor(padding, device=self._device)[:, None]
            )
            mask = mask.long()
            greedy = torch.tensor([[request.greedy] for request in batch], device=self._device)
            generators = [torch.Generator(self._device).manual_seed(request.seed) for request in batch]
            tokens: list[list[int]] = [[] for _ in batch]
            logprobs = [0.0] * len(batch)
            stopped = [False] * len(batch)
            cache = None
            while not all(stopped):
                positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
                output = self._model(
                    ids, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=1
                )
                cache = output.past_key_values
                raw = self._allowed(output.logits[:, -1].float())  # (batch, vocabulary)
                likeliest = torch.nn.functional.one_hot(raw.argmax(-1), raw.shape[-1]).float()
                probabilities = torch.where(greedy, likeliest, self._probabilities(raw))
                ids = torch.stack([
                    torch.multinomial(row, 1, generator=generator)
                    for row, generator in zip(probabilities, generators, strict=True)
                ])  # (batch, 1)  # fmt: skip
                chosen = raw.log_softmax(-1).gather(-1, ids)[:, 0].tolist()
                for row, token in enumerate(ids[:, 0].tolist()):
                    if not stopped[row]:
                        tokens[row].append(token)
                        logprobs[row] += chosen[row]
                        stopped[row] = (
                            token in self._sampling.stop_token_ids or len(tokens[row]) == self._sampling.max_tokens
                        )
                mask = torch.cat([mask, mask.new_ones(len(batch), 1)], dim=-1)
        return [
            Completion(r.key, t, "stop" if t[-1] in self._sampling.stop_token_ids else "length", logprob)
            for r, t, logprob in zip(batch, tokens, logprobs, strict=True)
        ]

    def _allowed(self, logits: Any) -> Any:
        """Return the logits with -inf for all that is no choice, where there are choices."""
        choices = list(self._sampling.choices)
        if not choices:
            return logits
        masked = logits.new_full(logits.shape, float("-inf"))
        masked[:, choices] = logits[:, choices]
        return masked

    def _probabilities(self, logits: Any) -> Any:
        """softmax(logits / T), cut to the smallest set of tokens with mass top_p; T = 0 is greedy."""
        import torch

        if self._sampling.temperature == 0:
            return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).float()
        probabilities = (logits / self._sampling.temperature).softmax(-1)
        if self._sampling.top_p < 1:
            ranked, order = probabilities.sort(descending=True)
            ranked[ranked.cumsum(-1) - ranked >= self._sampling.top_p] = 0
            probabilities = torch.zeros_like(probabilities).scatter(-1, order, ranked)
        return probabilities
