"""The peak of one training beside its estimate, in a process of its own: python measure_training_memory.py '<json>'.

Prints {"measured", "estimated"} in bytes. The model has random weights; measured is how far the process's peak rises
above what it held before the model was loaded.
"""

import json
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Tokenizer, models
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from conf.schema import Peft, Training
from training import memory, trainer


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Peak(threading.Thread):
    """Looks every two milliseconds."""

    def __init__(self):
        super().__init__(daemon=True)
        self.start_bytes = self.top = resident()
        self.start()

    def run(self):
        while True:
            self.top = max(self.top, resident())
            time.sleep(0.002)


def save_model(folder: Path, settings: dict) -> None:
    config = AutoConfig.for_model("llama", bos_token_id=1, eos_token_id=2, **settings)
    AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(folder)
    words = {f"w{i}": i for i in range(3)}
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")), eos_token="w2", pad_token="w2"
    ).save_pretrained(folder)


WARM_UP = dict(
    vocab_size=64, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
    num_key_value_heads=2, tie_word_embeddings=True,
)  # fmt: skip


def main(case: dict) -> None:
    """A training that takes nothing, for what libraries load and keep, then the one that is measured."""
    measure(case | {"model": WARM_UP, "rows": 2, "length": 8, "trained": 2})
    print(json.dumps(measure(case)))


def measure(case: dict) -> dict:
    """{"measured", "estimated", "parts"} of one training."""
    torch.manual_seed(0)
    length, number = case["length"], case["rows"]
    ids = np.random.default_rng(0).integers(3, case["model"]["vocab_size"], (number, length)).astype(np.int32)
    mask = np.zeros((number, length), np.int8)
    mask[:, length - case["trained"] :] = 1
    rows = pa.table(
        {
            "question_id": [str(i) for i in range(number)],
            "init_index": pa.array([0] * number, pa.int32()),
            "corr_index": pa.array([0] * number, pa.int32()),
            "input_ids": pa.array(ids.tolist(), pa.list_(pa.int32())),
            "completion_mask": pa.array(mask.tolist(), pa.list_(pa.int8())),
        }
    )
    training = Training(
        batch_size=number, num_epochs=2, length_grouping=False, max_length=None, on_empty="stop",
        stop_check={"num_prompts": 0, "max_tokens": 8, "min_rate": 0},
        args={"learning_rate": 1e-4, "bf16": case["bf16"], "optim": "adamw_torch_fused"},
        throughput={"gradient_checkpointing": case["checkpointing"], "save_strategy": "no"},
    )  # fmt: skip
    adapter = {"r": 16, "target_modules": "all-linear"}
    peft = Peft(kind="lora", args=adapter) if case["lora"] else Peft(kind="none", args={})
    found = {}
    require_memory = memory.require_memory

    def keep(model, setup, *rest):
        found["parts"] = memory.bytes_needed(model, setup)
        require_memory(model, setup, *rest)

    memory.require_memory = keep
    with tempfile.TemporaryDirectory() as name:
        base, work = Path(name, "base"), Path(name, "work")
        save_model(base, case["model"])
        work.mkdir()
        peak = Peak()
        save = trainer.CompletionTrainer.save_model

        def stop_looking(self, *rest):
            found["measured"] = peak.top - peak.start_bytes
            save(self, *rest)

        trainer.CompletionTrainer.save_model = stop_looking
        trainer.train(rows, base, work, training, peft, 0, "cpu")
    memory.require_memory, trainer.CompletionTrainer.save_model = require_memory, save
    return found | {"estimated": sum(found["parts"].values())}


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
