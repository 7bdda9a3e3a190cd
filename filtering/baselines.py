"""Tokens of gold answers as completions, for the baseline that is fine-tuned on them (trains_on=gold_answers)."""

import json
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

import polars as pl

from filtering.source import Source
from store.checkpoints import locate
from store.errors import ConfigError
from store.run import Run


@lru_cache(maxsize=1)
def tokenizer(run: Run, end: int) -> Callable[[str], list[int]]:
    """Return a function from a gold answer to token ids as the model would have answered with it: by the tokenizer of
    M_0, which no checkpoint changes, without its control tokens (one spelled in an answer stays text, as in
    generation); then the end of turn."""
    from tokenizers import Tokenizer  # only this baseline needs it

    path = locate(run, 0)[0] / "tokenizer.json"
    spec = json.loads(path.read_bytes())
    spec["added_tokens"] = [token for token in spec["added_tokens"] if token["content"].isspace()]
    encode = Tokenizer.from_str(json.dumps(spec | {"truncation": None, "padding": None})).encode
    return lambda text: [*encode(text, add_special_tokens=False).ids, end]


def end_of_turn(source: Source) -> int:
    """Return the token that the model's own answers to the training questions end with, most of them where it has
    several."""
    ends: Counter[int] = Counter()
    for table in source.initial_answers("train", ("finish_reason", "token_ids")):
        stopped = table.filter(pl.col("finish_reason") == "stop")
        ends.update(stopped["token_ids"].list.last())
    if not ends:
        raise ConfigError(
            f"{source.samples.initial_answers}: no answer to a training question ended by itself, so there is no end "
            "of turn to train: start another run with a larger sampling.max_tokens"
        )
    return ends.most_common(1)[0][0]
