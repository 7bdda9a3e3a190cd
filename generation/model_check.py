"""Whether a run's model, prompts and settings go together: all that can be known before an engine starts, said at once.

It runs before iteration 0; later models have M_0's tokenizer and configuration.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conf.schema import Config
from generation.engines.length import fitted
from generation.prompts import correction_messages, initial_messages
from generation.tokenization import ChatTokenizer
from store.errors import BadInput, ConfigError
from store.run import Run
from store.schemas import QUESTIONS, SPLITS
from store.shards import iter_shards, read_object, required_manifest

# sampling.args that would change what a row is: set by the setting beside them, or by nothing.
MANAGED = {
    "n": "sampling.num_initial and sampling.num_corrections say how many samples are drawn",
    "best_of": "every sample is kept",
    "stop": "stop strings leave no stop token to train on; name tokens in sampling.args.stop_token_ids",
    "seed": "every sample has a seed of its own, made from `seed`",
    "temperature": "set sampling.temperature",
    "top_p": "set sampling.top_p",
    "max_tokens": "set sampling.max_tokens",
    "ignore_eos": "an answer that does not end cannot be trained",
}
THINKING_TOKENS = 256  # the least budget with which a model that thinks gets to its answer now and then
ATTENTION = ("full_attention", "sliding_attention", "chunked_attention")  # of config.json's layer_types


def require_usable(run: Run, config: Config, folder: Path) -> None:
    """Raise ConfigError with every finding about the run's model folder, prompts and settings."""
    findings = [*sampling_findings(config), *engine_findings(config, folder)]
    try:
        tokenizer = ChatTokenizer(folder, config.model.template_args, config.sampling.args)
        findings += chat_findings(config, tokenizer)
        findings += room_findings(run, config, tokenizer, fitted(config.engine.args, folder)["max_model_len"])
    except ConfigError as error:
        findings.append(str(error))
    if findings:
        listing = "".join(f"\n  {finding}" for finding in dict.fromkeys(findings))
        raise ConfigError(f"run {run.name} cannot start with these settings, no engine was started:{listing}")


def sampling_findings(config: Config) -> Iterator[str]:
    for name in sorted(MANAGED.keys() & config.sampling.args.keys()):
        yield f"sampling.args.{name} cannot be given: {MANAGED[name]}"
    ids = config.sampling.args.get("stop_token_ids", [])
    if not isinstance(ids, list) or not all(isinstance(token, int) and token >= 0 for token in ids):
        yield f"sampling.args.stop_token_ids={ids}: a list of token ids was expected, [128009] for example"


def engine_findings(config: Config, folder: Path) -> Iterator[str]:
    """Return what vLLM would refuse when it starts, by the model's config.json."""
    if config.engine.kind != "vllm":
        return
    shape: dict[str, Any] = read_object(folder / "config.json")
    shape |= shape.get("text_config") or {}
    given = config.engine.args | config.engine.throughput
    hybrid = sorted(set(shape.get("layer_types") or ()) - set(ATTENTION))
    if hybrid and given.get("enable_prefix_caching") and given.get("enable_chunked_prefill") is False:
        yield (
            f"{folder} has layers of the kind {', '.join(hybrid)}, for which vLLM caches prefixes only with chunked "
            "prefill: engine.throughput.enable_prefix_caching=false"
        )


def chat_findings(config: Config, tokenizer: ChatTokenizer) -> Iterator[str]:
    """Every chat of the run must be one that the template renders, and thoughts must fit."""
    chats = {
        "prompt.initial": initial_messages(config.prompt, "x"),
        "prompt.correction": correction_messages(config.prompt, "x", "x"),
    }
    if config.compat.separate_training_prompt:
        chats["prompt.training"] = [message.model_dump() for message in config.prompt.training]
    for key, messages in chats.items():
        try:
            tokenizer.encode(messages)
        except (ConfigError, BadInput) as error:
            yield f"{key}: {error}"
    if tokenizer.thinks and config.sampling.max_tokens < THINKING_TOKENS:
        yield (
            f"this model thinks before it answers, and sampling.max_tokens={config.sampling.max_tokens} ends most "
            "answers in the thought: sampling=thinking, or model.template_args={enable_thinking: false} where its "
            "template knows that"
        )


def room_findings(run: Run, config: Config, tokenizer: ChatTokenizer, length: int) -> Iterator[str]:
    """Return the splits whose shortest question leaves no room for an answer; single questions are quarantined."""
    room = length - config.sampling.max_tokens
    manifest = required_manifest(run.questions, f"python -m data run={run.name}")
    for split in SPLITS:
        tables = (table for _, table in iter_shards(run.questions, manifest, split, QUESTIONS))
        shortest = min((q for table in tables for q in table["question"].to_pylist()), key=len, default=None)
        if shortest is None:
            continue
        chats = (initial_messages(config.prompt, shortest), correction_messages(config.prompt, shortest, ""))
        try:
            needed = max(len(tokenizer.encode(messages)) for messages in chats)
        except (ConfigError, BadInput):  # said by chat_findings, or of this question alone
            continue
        if needed > room:
            yield (
                f"no question of {split} has room: the shortest needs {needed} tokens, engine.args.max_model_len="
                f"{length} - sampling.max_tokens={config.sampling.max_tokens} leaves "
                f"{room}: raise max_model_len, lower max_tokens, or choose a shorter prompt (prompt=)"
            )
