"""Rows whose prompt was never tokenized, compat.separate_training_prompt: the authors train on other words than were
answered. The prompt is tokenized here, as they do it: by the chat template, which obeys a control token in a text."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from store.chat import ChatTemplate
from store.schemas import SFT


def with_prompts(table: pa.Table, base: Path, template_args: dict[str, Any]) -> pa.Table:
    """SFT rows whose input_ids hold the completion alone, with the prompt's ids before it; only the completion is
    trained, as in any other row. base: the model folder with the tokenizer; template_args: `model.template_args`."""
    from transformers import AutoTokenizer  # seconds, and torch

    tokenizer = AutoTokenizer.from_pretrained(base)
    template = ChatTemplate(tokenizer, base, template_args)
    rows = []
    for row in table.to_pylist():
        prompt_ids = tokenizer(template.render(row["prompt"]), add_special_tokens=False)["input_ids"]
        masks = [0] * len(prompt_ids) + row["completion_mask"]
        rows.append(row | {"input_ids": prompt_ids + row["input_ids"], "completion_mask": masks})
    return pa.Table.from_pylist(rows, schema=SFT)
