"""An engine that keeps what went through it."""

from dataclasses import dataclass, field

from generation.engines.interface import Completion, Engine, Request


@dataclass
class Recorder:
    engine: Engine
    requests: list[Request] = field(default_factory=list)
    completions: list[Completion] = field(default_factory=list)

    @property
    def max_num_seqs(self) -> int:
        return self.engine.max_num_seqs

    @property
    def num_in_flight(self) -> int:
        return self.engine.num_in_flight

    def submit(self, request: Request) -> None:
        self.engine.submit(request)
        self.requests.append(request)

    def step(self) -> list[Completion]:
        completions = self.engine.step()
        self.completions += completions
        return completions

    def cached_share(self, corrections: bool) -> float:
        """Return the share of prompt tokens that the prefix cache gave."""
        prompts = {request.key: len(request.prompt_token_ids) for request in self.requests}
        chosen = [c for c in self.completions if (len(c.key) == 4) is corrections]
        return sum(c.num_cached_tokens for c in chosen) / sum(prompts[c.key] for c in chosen)
