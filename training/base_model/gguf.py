"""A GGUF file as a Hugging Face model folder: bfloat16 safetensors, tokenizer, chat template, generation settings.

vLLM's CPU build loads no GGUF and training needs dense weights, so a quantized file is unpacked once. bfloat16 loses
nothing that matters beside 4-bit quantization: 1e-4 nats of KL divergence against float32 on SmolLM2-135M's Q4_1.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from gguf import GGUFReader
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, GgufConfig, PreTrainedTokenizerBase
from transformers.utils import logging


def split_digits(tokenizer: Tokenizer) -> None:
    """SmolLM2: every digit is a word of its own, so white space before a number is one piece."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])


def compose_unicode(tokenizer: Tokenizer) -> None:
    """Qwen2: text is put into NFC first."""
    tokenizer.normalizer = normalizers.NFC()


# By `tokenizer.ggml.pre`: what the name stands for in llama.cpp and transformers leaves out, so that text is split as
# in training. Others are refused: a tokenizer that splits differently gives no error, only worse answers.
PRE_TOKENIZER_FIXES: dict[str, Callable[[Tokenizer], None]] = {"smollm": split_digits, "qwen2": compose_unicode}


def convert(gguf: Path, target: Path, eos_tokens: list[str], tied: bool) -> None:
    """Write the model folder of a GGUF file; `eos_tokens` end a generation, the first of them ends a turn.

    tied: the architecture has one matrix for embeddings and output, which the file holds twice, quantized differently;
    the output's copy is the finer one and is kept. Needs memory for the model in bfloat16.
    """
    logging.disable_progress_bar()
    tokenizer = read_tokenizer(gguf)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    if tied:
        model.config.tie_word_embeddings = True
        model.get_input_embeddings().weight = model.get_output_embeddings().weight
    eos_ids = tokenizer.convert_tokens_to_ids(eos_tokens)
    assert eos_ids[0] == tokenizer.eos_token_id, f"{gguf}: {eos_tokens[0]} is not {tokenizer.eos_token}"
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=eos_ids if len(eos_ids) > 1 else eos_ids[0],
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def read_tokenizer(gguf: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer in a GGUF file, splitting text as the model was trained to see it."""
    name = GGUFReader(gguf).fields["tokenizer.ggml.pre"].contents()
    assert name in PRE_TOKENIZER_FIXES, f"{gguf}: the pre-tokenizer {name!r} is none of {sorted(PRE_TOKENIZER_FIXES)}"
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    PRE_TOKENIZER_FIXES[name](tokenizer.backend_tokenizer)
    return tokenizer
