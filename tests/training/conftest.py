"""A Llama of about 100,000 parameters with a tokenizer of its own, and rows for it."""

import json
import os

import numpy as np
import pyarrow as pa
import pytest

import conf.__main__ as conf_main
from store.checkpoints import Checkpoint, describe_folder, folder_digest
from store.publish import write_atomic
from store.run import Run
from store.schemas import SFT
from tests.training.runs import QUICK

VOCAB_SIZE = 512
STOP = 2


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """The folder of a random model, as a base model's folder is."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    folder = tmp_path_factory.mktemp("tiny")
    set_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB_SIZE, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, bos_token_id=1, eos_token_id=STOP, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    words = {"<unk>": 0, "<s>": 1, "<end>": STOP} | {f"w{i}": i for i in range(3, VOCAB_SIZE)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="<end>")
    fast.chat_template = "{% for m in messages %}{{ m['content'] }} <end> {% endfor %}"
    fast.save_pretrained(folder)
    (folder / "README.md").write_text("# the base's card")
    return folder


def sft_rows(number: int, seed: int = 0, **changed: dict[int, object]) -> pa.Table:
    """`number` rows with prompts of 4 to 40 tokens and completions of 2 to 12 that end in the stop token.

    changed: {column: {row: value}} put in afterwards.
    """
    random = np.random.default_rng(seed)
    rows = []
    for index in range(number):
        prompt = random.integers(3, VOCAB_SIZE, random.integers(4, 41)).tolist()
        completion = [*random.integers(3, VOCAB_SIZE, random.integers(1, 12)).tolist(), STOP]
        row = {
            "question_id": f"q{index // 4}",
            "init_index": index // 2 % 2,
            "corr_index": index % 2,
            "prompt": [{"role": "user", "content": "?"}],
            "completion": [{"role": "assistant", "content": "!"}],
            "input_ids": prompt + completion,
            "completion_mask": [0] * len(prompt) + [1] * len(completion),
        }
        rows.append(row | {name: values[index] for name, values in changed.items() if index in values})
    return pa.Table.from_pylist(rows, schema=SFT)


@pytest.fixture
def make_rows():
    return sft_rows


@pytest.fixture
def make_run(tiny_model, tmp_path, monkeypatch):
    """A run in an empty folder whose M_0 is the tiny model."""
    monkeypatch.chdir(tmp_path)

    def make(*overrides, name="demo"):
        conf_main.main([f"run={name}", *QUICK, *overrides])
        run = Run(name)
        files = describe_folder(tiny_model)
        folder = os.path.relpath(tiny_model, run.dir)
        write_atomic(run.base_model, Checkpoint(files, folder_digest(files), alias_of=folder).to_json())
        return run

    return make


def read_json(path):
    return json.loads(path.read_text())
