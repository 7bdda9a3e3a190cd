"""A judge that is a model folder: on an engine of generation, one token for each judgement."""

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from conf import schema
from generation.engines import ENGINES
from generation.engines.interface import Completion, Request, RequestRefused, SamplingSettings
from generation.engines.length import fitted
from generation.tokenization import ChatTokenizer
from judging.judge import NO, YES, Answer, Messages
from store.errors import BadInput, ConfigError, TryAgain


class Model:
    """The first token may be that of Yes or that of No alone, and the likelier one is taken: its log-probability among
    the two gives that of both."""

    def __init__(self, engine: schema.Engine, device: str, folder: Path, template_args: dict[str, Any]) -> None:
        self._tokenizer = ChatTokenizer(folder, template_args)
        self._yes, self._no = (self._tokenizer.begun_with(word)[0] for word in (YES, NO))
        if self._yes == self._no:
            raise ConfigError(f"{folder}: {YES} and {NO} begin with one token, {self._yes}: choose another judge.model")
        self._room = fitted(engine.args, folder)["max_model_len"] - 1
        stops = self._tokenizer.stop_token_ids
        sampling = SamplingSettings(1.0, 1.0, 1, stops, {}, choices=(self._yes, self._no))
        self._engine = ENGINES[engine.kind](folder, sampling, engine.args, engine.throughput, device)

    def ask(self, prompts: Iterable[tuple[str, Messages]]) -> Iterator[list[Answer]]:
        """Keep the engine full; yield what each of its steps has finished."""
        waiting, lengths = iter(prompts), dict[str, int]()
        while True:
            room = 2 * self._engine.max_num_seqs - self._engine.num_in_flight
            refused = []
            for key, messages in islice(waiting, room):
                try:
                    token_ids = self._tokenize(messages)
                    self._engine.submit(Request((key,), token_ids, 0, greedy=True))
                    lengths[key] = len(token_ids)
                except (BadInput, RequestRefused) as error:
                    refused.append(Answer(key, math.nan, str(error)[:500]))
            if refused:
                yield refused
            elif not self._engine.num_in_flight:
                return
            if answers := [self._answer(each, lengths.pop(each.key[0])) for each in self._step()]:
                yield answers

    def close(self) -> None:
        """End the engine."""
        self._engine.close()

    def _step(self) -> list[Completion]:
        try:
            return self._engine.step() if self._engine.num_in_flight else []
        except MemoryError:
            raise
        except Exception as error:
            raise TryAgain(f"the judge's engine died: {type(error).__name__}: {error}. Run the same command") from error

    def _tokenize(self, messages: Messages) -> list[int]:
        token_ids = self._tokenizer.encode(messages)
        if len(token_ids) > self._room:
            raise BadInput(f"its prompt has {len(token_ids)} tokens, at most {self._room} leave room for an answer")
        return token_ids

    def _answer(self, completion: Completion, num_prompt_tokens: int) -> Answer:
        [key], [token] = completion.key, completion.token_ids
        taken = math.exp(completion.cumulative_logprob)
        score, said = (taken, YES) if token == self._yes else (1 - taken, NO)
        return Answer(key, score, said, num_prompt_tokens, 1)
