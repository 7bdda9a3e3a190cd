"""A real, tiny chat model made on the spot, and a place to run stages in as a user does: through their commands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import warm

for name in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS"):  # of `make test`: a make that a test runs is no part of it
    os.environ.pop(name, None)
ROOT = Path(__file__).parents[1]
ROOMS = ("Makefile", "sweep.py", "store", "conf", "data", "generation", "filtering", "training", "judging",
         "analysis", "requirements", ".venv")  # fmt: skip

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
COLOURS = ("red", "blue", "green", "amber")
# The deterministic engine answers with a piece of the prompt, so now and then with the right color.
QUESTIONS = [
    {"question": f"{i}: {' '.join(COLOURS)} or {COLOURS[i % 4]}?", "answers": [COLOURS[i % 4]]} for i in range(60)
]


def pytest_configure() -> None:
    """Each of pytest-xdist's workers, and what it starts, has cores of its own: the threads of an engine wait for each
    other at every step, and a neighbor on one of their cores makes all of them slow."""
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        number, workers = int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[number::workers] or {cores[number % len(cores)]})


def make_tiny_model(folder: Path, **shape: int) -> Path:
    """Fill `folder` with a random Llama of about 100,000 parameters, a byte-level BPE tokenizer and a chat template.
    shape: further arguments of LlamaConfig."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([q["question"] for q in QUESTIONS], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    fast.chat_template = TEMPLATE
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(fast), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=2048, tie_word_embeddings=True,
            bos_token_id=1, eos_token_id=2, pad_token_id=0, **shape,
        )
    )  # fmt: skip
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """No pool of torch's threads in this process: a child that is forked from it would wait for them for ever."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny_model"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of faults first: they fork, and where Polars has run in the parent its children hang."""
    items.sort(key=lambda item: "tests/faults/" not in item.nodeid)


class Workspace:
    """An empty folder in which stages run; `settings` are the overrides of every run in it."""

    def __init__(self, folder: Path, settings: list[str]) -> None:
        self.folder, self.settings = folder, settings
        self.environment = os.environ | {"PYTHONPATH": str(ROOT), "STASC_CACHE": str(folder / "cache")}

    def stage(self, *command: str, check: bool = True, **kwargs) -> subprocess.CompletedProcess:
        """Run `python -m <command>`; unless check=False, it must exit with 0."""
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, **kwargs,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def quick_stage(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run the same in a fork that has its imports."""
        done = warm.run(command, self.folder, self.environment)
        assert not check or done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def start(self, run: str, *overrides: str) -> None:
        """Compose the configuration, make the questions, fetch M_0."""
        self.quick_stage("conf", f"run={run}", *self.settings, *overrides)
        self.quick_stage("data", f"run={run}")
        self.quick_stage("training.base_model", f"run={run}")

    def iterate(self, run: str, last: int, *overrides: str) -> None:
        """What `make iterate N=<last>` runs."""
        self.start(run, *overrides)
        for n in range(last + 1):
            if n:
                self.quick_stage("training", f"run={run}", f"iteration={n}")
            self.quick_stage("generation", f"run={run}", f"iteration={n}")
            self.quick_stage("filtering", f"run={run}", f"iteration={n}")

    def run(self, name: str) -> Path:
        return self.folder / "runs" / name


def make_workspace(folder: Path, model: Path) -> Workspace:
    """A folder with 60 questions and a model, on the deterministic engine."""
    questions = folder / "questions.jsonl"
    questions.write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    return Workspace(
        folder,
        [
            "device=cpu", "engine=fake", "data=local", f"data.files.questions.path={questions}",
            "data.train=20", "data.validation=6", "data.test=6", f"model.path={model}", "training.args.bf16=false",
            "sampling.num_initial=2", "sampling.num_corrections=3", "launcher.shard_questions=5",
        ],
    )  # fmt: skip


@pytest.fixture
def workspace(tmp_path, tiny_model) -> Workspace:
    return make_workspace(tmp_path, tiny_model)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, tiny_model) -> Workspace:
    """Two iterations of the whole loop, runs/demo, without a filter: it gives rows to train on. What changes
    it changes a copy."""
    workspace = make_workspace(tmp_path_factory.mktemp("finished"), tiny_model)
    workspace.iterate("demo", 1, "strategy.filter=none", "training.stop_check.num_prompts=0", "filter.margin=0.3")
    return workspace


@pytest.fixture(scope="session")
def project(tmp_path_factory, tiny_model) -> Workspace:
    """A workspace in which `make` and sweep.py work too."""
    workspace = make_workspace(tmp_path_factory.mktemp("project"), tiny_model)
    for room in ROOMS:
        (workspace.folder / room).symlink_to(ROOT / room)
    return workspace
