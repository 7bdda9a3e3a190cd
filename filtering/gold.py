"""Gold answers as completions, for the baseline that is fine-tuned on them (strategy.trains_on=gold_answers)."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pyarrow.compute as pc

from filtering.source import Source
from store.checkpoints import locate
from store.errors import ConfigError
from store.run import Run


def gold_completions(run: Run, end: int) -> Callable[[str], dict[str, Any]]:
    """A gold answer's text and token ids, as the model would have answered with it: its tokens, then the end of turn.

    A control token spelled in a gold answer stays text, as in generation.
    """
    tokenize = load_tokenizer(run)
    return lambda text: {"text": text, "token_ids": [*tokenize(text), end]}


def load_tokenizer(run: Run) -> Callable[[str], list[int]]:
    """Text to token ids with the tokenizer of M_0, which no checkpoint changes, but without its control tokens."""
    from tokenizers import Tokenizer  # only this baseline needs it

    path = locate(run, 0)[0] / "tokenizer.json"
    spec = json.loads(path.read_bytes())
    spec["added_tokens"] = [token for token in spec["added_tokens"] if token["content"].isspace()]
    tokenizer = Tokenizer.from_str(json.dumps(spec | {"truncation": None, "padding": None}))
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def end_of_turn(source: Source) -> int:
    """The token that the model's own answers to the training questions end with, most of them where it has several."""
    ends: Counter[int] = Counter()
    for table in source.initial_answers("train", ("finish_reason", "token_ids")):
        stopped = table.filter(pc.equal(table["finish_reason"], "stop"))["token_ids"]
        ends.update(token_ids[-1] for token_ids in stopped.to_pylist())
    if not ends:
        raise ConfigError(
            f"{source.samples.initial_answers}: no answer to a training question ended by itself, so there is no end "
            "of turn to train: start another run with a larger sampling.max_tokens"
        )
    return ends.most_common(1)[0][0]
