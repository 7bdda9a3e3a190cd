"""Whether a run's model, prompts and settings go together: all that can be known before an engine starts, said at once.

It runs before iteration 0; later models have M_0's tokenizer and configuration.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from conf.schema import Engine, Prompt
from generation.engines.length import fitted
from generation.prompts import Row, correction_messages, initial_messages, texts_of
from generation.settings import Settings
from generation.tokenization import ChatTokenizer
from store.errors import BadInput, ConfigError
from store.run import Run
from store.schemas import SPLITS
from store.schemas import questions as questions_schema
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


def require_usable(run: Run, settings: Settings, folder: Path, separate_training_prompt: bool) -> None:
    """Raise ConfigError with every finding about the run's model folder, prompts and settings; print what is no reason
    to stop."""
    prompt, sampling, engine = settings.prompt, settings.sampling, settings.engine
    with training_check(run, engine) as training:
        findings = [*sampling_findings(sampling.args), *engine_findings(engine, folder)]
        try:
            tokenizer = ChatTokenizer(folder, settings.template_args, sampling.args)
            findings += chat_findings(prompt, sampling.max_tokens, tokenizer, separate_training_prompt)
            length = fitted(engine.args, folder)["max_model_len"]
            findings += room_findings(run, prompt, sampling.max_tokens, tokenizer, length)
        except ConfigError as error:
            findings.append(str(error))
        findings += training
    if findings:
        listing = "".join(f"\n  {finding}" for finding in dict.fromkeys(findings))
        raise ConfigError(f"run {run.name} cannot start with these settings, no engine was started:{listing}")


@contextlib.contextmanager
def training_check(run: Run, engine: Engine) -> Iterator[Iterator[str]]:
    """Run training's own check beside the block, which takes seconds for the libraries that it imports; its findings
    come when they are asked for. None for the deterministic engine, which dry runs have."""
    if engine.kind == "fake":
        yield iter(())
        return
    command = [sys.executable, "-m", "training.check", f"run={run.name}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:

        def findings() -> Iterator[str]:
            output, said = process.communicate()
            if process.returncode == 0:
                yield from json.loads(output.splitlines()[-1])
            else:
                yield (said.strip() or f"training.check ended with {process.returncode}").splitlines()[-1]

        yield findings()


def sampling_findings(args: dict[str, Any]) -> Iterator[str]:
    """Return what cannot stand in sampling.args."""
    for name in sorted(MANAGED.keys() & args.keys()):
        yield f"sampling.args.{name} cannot be given: {MANAGED[name]}"


def engine_findings(engine: Engine, folder: Path) -> Iterator[str]:
    """Return what vLLM would refuse when it starts, by the model's config.json."""
    if engine.kind != "vllm":
        return
    shape: dict[str, Any] = read_object(folder / "config.json")
    shape |= shape.get("text_config") or {}
    given = engine.args | engine.throughput
    hybrid = sorted(set(shape.get("layer_types") or ()) - set(ATTENTION))
    if hybrid and given.get("enable_prefix_caching") and given.get("enable_chunked_prefill") is False:
        yield (
            f"{folder} has layers of the kind {', '.join(hybrid)}, for which vLLM caches prefixes only with chunked "
            "prefill: engine.throughput.enable_prefix_caching=false"
        )


def chat_findings(
    prompt: Prompt, max_tokens: int, tokenizer: ChatTokenizer, separate_training_prompt: bool = False
) -> Iterator[str]:
    """Every chat of the run must be one that the template renders, and thoughts must fit."""
    question = {"question": "x"} | dict.fromkeys(prompt.columns, '"x"')
    chats = {
        "prompt.initial": initial_messages(prompt, question),
        "prompt.correction": correction_messages(prompt, question, "x"),
    }
    if separate_training_prompt:
        chats["prompt.training"] = [message.model_dump() for message in prompt.training]
    for key, messages in chats.items():
        try:
            tokenizer.encode(messages)
        except (ConfigError, BadInput) as error:
            yield f"{key}: {error}"
    if tokenizer.thinks and max_tokens < THINKING_TOKENS:
        yield (
            f"this model thinks before it answers, and sampling.max_tokens={max_tokens} ends most "
            "answers in the thought: sampling=thinking, or model.template_args={enable_thinking:false} where its "
            "template knows that"
        )


def room_findings(run: Run, prompt: Prompt, max_tokens: int, tokenizer: ChatTokenizer, length: int) -> Iterator[str]:
    """Return the splits of which more than half of the questions leave no room for an answer. Where fewer do, they will
    be quarantined, and their number is printed."""
    room = length - max_tokens
    manifest = required_manifest(run.questions, f"python -m data run={run.name}")
    for split in SPLITS:
        names, schema = ("question", *prompt.columns), questions_schema(manifest.settings)
        tables = iter_shards(run.questions, manifest, split, schema, names)
        questions = [question for _, table in tables for question in table.to_pylist()]
        try:
            needed = prompt_lengths(prompt, tokenizer, questions, room)
        except (ConfigError, BadInput):  # said by chat_findings, or of a question alone
            continue
        if not (without := sum(number > room for number in needed)):
            continue
        share = f"{without:,} of the {len(questions):,} questions of {split} have no room"
        if without == len(questions):
            share = f"no question of {split} has room"
        allowed = f"engine.args.max_model_len={length} - sampling.max_tokens={max_tokens} leaves {room}"
        if 2 * without > len(questions):
            yield (
                f"{share}: the shortest needs {min(needed)} tokens, the longest {max(needed)}, {allowed}: raise "
                "max_model_len, lower max_tokens, or choose a shorter prompt (prompt=)"
            )
        else:
            print(f"{share} and will be quarantined: the longest needs {max(needed)} tokens, {allowed}", flush=True)


def prompt_lengths(prompt: Prompt, tokenizer: ChatTokenizer, questions: Sequence[str | Row], room: int) -> list[int]:
    """Return the tokens of each question's longer prompt, with an empty initial answer in it: counted once for the
    shortest question, and for the others by how many tokens they have more, a few off where they meet the prompt.

    Nothing is counted where no question can be too long: a token is at least a byte. 100,000 questions take 4 s.
    """
    if not questions:
        return []
    texts = [texts_of(prompt, question) for question in questions]
    lengths = [sum(map(len, each.values())) for each in texts]
    shortest = lengths.index(min(lengths))
    asked = questions[shortest]
    chats = (initial_messages(prompt, asked), correction_messages(prompt, asked, ""))
    presets = (prompt.initial, prompt.correction)
    longer, times = max(
        (len(tokenizer.encode(chat)), [sum(m.content.count(f"{{{name}}}") for m in preset) for name in texts[0]])
        for chat, preset in zip(chats, presets, strict=True)
    )
    columns = [([each[name] for each in texts], number) for name, number in zip(texts[0], times, strict=True)]
    if longer + sum(number * max(len(text.encode()) for text in column) for column, number in columns) <= room:
        return [longer] * len(questions)
    counts = [[number * count for count in tokenizer.count(column)] for column, number in columns]
    numbers = list(map(sum, zip(*counts, strict=True)))
    return [longer - numbers[shortest] + number for number in numbers]
