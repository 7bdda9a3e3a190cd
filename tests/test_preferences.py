"""`make preferences` as a user has it: the command, a kill at every write, and TRL's trainers on the files."""

import hashlib
import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

import store.publish
from store.schemas import DPO, KTO
from tests import warm
from tests.conftest import ROOT, Workspace, make_workspace

ITERATIONS = (0, 1)


def kill_before(number: int) -> None:
    """Let this process be killed before it publishes its file of this number."""
    published = 0

    def killing(publish: Callable) -> Callable:
        def publish_or_die(*arguments):
            nonlocal published
            published += 1
            if published == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return publish(*arguments)

        return publish_or_die

    for name in ("_link", "_replace"):
        setattr(store.publish, name, killing(getattr(store.publish, name)))


def copy_of(finished: Workspace, folder: Path, model: Path) -> Workspace:
    shutil.copytree(finished.folder / "runs", folder / "runs")
    return make_workspace(folder, model)


def preferences(workspace: Workspace, run: str = "demo") -> dict[str, bytes]:
    found = sorted(workspace.run(run).glob("iter_*/preferences/*"))
    return {str(path.relative_to(workspace.run(run))): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def preferred(tmp_path_factory, finished, tiny_model) -> Workspace:
    workspace = copy_of(finished, tmp_path_factory.mktemp("preferred"), tiny_model)
    done = workspace.stage("filtering.preferences", "run=demo", "per_prompt=4")
    lines = done.stdout.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [f"iter_{n:02d} preferences" for n in ITERATIONS]
    return workspace


def test_all_iterations_are_written_once_and_then_complete(preferred):
    before = preferences(preferred)
    assert {name.partition("/")[0] for name in before} == {"iter_00", "iter_01"}
    again = preferred.stage("filtering.preferences", "run=demo", "per_prompt=4").stdout
    assert again.count("preferences: complete, ") == 2 and preferences(preferred) == before
    one = preferred.stage("filtering.preferences", "run=demo", "per_prompt=4", "iteration=1").stdout
    assert one == again.splitlines(keepends=True)[1]


def test_a_run_with_preferences_is_known_to_the_commands_that_look_at_it(preferred, tmp_path):
    assert "iter_00/preferences" in preferred.stage("analysis.status", "run=demo").stdout
    assert "every file is as it was written" in preferred.stage("analysis.verify", "run=demo").stdout
    preferred.stage("analysis.upload", "run=demo", f"to=file://{tmp_path}/copy")
    for name, content in preferences(preferred).items():
        assert (tmp_path / "copy" / name).read_bytes() == content


def test_a_damaged_table_is_found_by_verify(preferred, tmp_path, tiny_model):
    workspace = copy_of(preferred, tmp_path, tiny_model)
    path = next(workspace.run("demo").glob("iter_01/preferences/kto-*.parquet"))
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    done = workspace.stage("analysis.verify", "run=demo", check=False)
    assert done.returncode == 5 and f"{path.relative_to(tmp_path)} cannot be used" in done.stderr


def test_a_rescored_run_has_the_samples_of_the_other_and_rewards_of_its_own(preferred, tmp_path, tiny_model):
    workspace = copy_of(preferred, tmp_path, tiny_model)
    workspace.quick_stage("conf", "run=strict", "like=demo", "samples_of=demo", "reward=exact_match")
    for n in ITERATIONS:
        workspace.quick_stage("filtering", "run=strict", f"iteration={n}")
    said = workspace.stage("filtering.preferences", "run=strict", "per_prompt=4").stdout
    assert len(said.splitlines()) == 2
    assert preferences(workspace, "strict") and preferences(workspace) == preferences(preferred)
    assert "every file is as it was written" in workspace.stage("analysis.verify", "run=strict").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["per_prompt=0"], 2, "per_prompt='0' was given, a number of pairs from 1 on was expected"),
        (["per_prompt=1"], 3, "per_prompt: 4 -> 1"),
        (["iteration=7"], 5, "`python -m generation run=demo iteration=7` first"),
        (["iteration=one"], 2, "a whole number from 0 to 99 was expected"),
        (["per_promt=2"], 2, "did you mean per_prompt=?"),
    ],
)
def test_mistakes_are_refused_in_a_sentence(preferred, arguments, code, said):
    done = preferred.quick_stage("filtering.preferences", "run=demo", *arguments, check=False)
    assert done.returncode == code and said in done.stderr, done.stderr


def test_a_run_that_was_not_filtered_is_told_what_to_run(workspace):
    workspace.start("new")
    done = workspace.stage("filtering.preferences", "run=new", check=False)
    assert done.returncode == 2 and "run `make iterate RUN=new` first" in done.stderr


def test_killed_at_every_write_and_repeated_it_leaves_the_same_bytes(finished, tmp_path, tiny_model):
    whole = copy_of(finished, tmp_path / "whole", tiny_model)
    command = ("filtering.preferences", "run=demo", "iteration=1")
    whole.stage(*command)
    expected = preferences(whole)
    killed = 0
    for number in range(1, 100):
        place = tmp_path / str(number)
        workspace = copy_of(finished, place, tiny_model)
        done = warm.run(command, place, workspace.environment, partial(kill_before, number))
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        killed += 1
        assert preferences(workspace).items() <= expected.items() or list(place.rglob("*.tmp"))
        workspace.quick_stage(*command)
        assert preferences(workspace) == expected
        assert not list(place.rglob(".*.tmp"))
        shutil.rmtree(place)
    assert killed == len(expected)  # every shard, and the manifest


def load(workspace: Workspace, kind: str, folder: Path):
    from datasets import load_dataset

    files = str(workspace.run("demo") / "iter_*" / "preferences" / f"{kind}-*.parquet")
    return load_dataset("parquet", data_files=files, split="train", cache_dir=str(folder))


def weights(model) -> str:
    state = (value.detach().float().numpy().tobytes() for value in model.state_dict().values())
    return hashlib.sha256(b"".join(state)).hexdigest()


@pytest.mark.parametrize("kind", ["dpo", "kto"])
def test_trl_takes_the_files_as_they_are(preferred, tiny_model, tmp_path, kind):
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

    rows = load(preferred, kind, tmp_path)
    assert len(rows) > 4
    trainer_class, config = {"dpo": (DPOTrainer, DPOConfig), "kto": (KTOTrainer, KTOConfig)}[kind]
    arguments = config(
        output_dir=str(tmp_path), use_cpu=True, bf16=False, max_steps=1, per_device_train_batch_size=4,
        learning_rate=1e-3, report_to="none", save_strategy="no", logging_steps=1,
    )  # fmt: skip
    trainer = trainer_class(model=str(tiny_model), args=arguments, train_dataset=rows)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    for row, tokens in zip(rows, trainer.train_dataset, strict=True):  # nothing is cut, added or taken for another turn
        prompt = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, tokenize=False)
        assert tokenizer.decode(tokens["prompt_ids"]) == prompt
        for name in ("chosen", "rejected") if kind == "dpo" else ("completion",):
            assert tokenizer.decode(tokens[f"{name}_ids"]) == f"{row[name][0]['content']}<|im_end|>\n"
    before = weights(trainer.model)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses and torch.isfinite(torch.tensor(losses)).all()
    assert weights(trainer.model) != before


DOCS = (ROOT / "docs" / "preferences.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", DOCS, flags=re.DOTALL), ids=["dpo", "kto"])
def test_the_snippets_of_the_docs_run(preferred, tmp_path, monkeypatch, code):
    (tmp_path / "runs").symlink_to(preferred.folder / "runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    quick = 'Config(max_steps=1, use_cpu=True, bf16=False, save_strategy="no", report_to="none", '
    exec(compile(code.replace("Config(", quick), "docs/preferences.md", "exec"), {})


def test_the_lines_of_the_docs_have_the_columns_of_the_files():
    lines = re.findall(r"^\{.*?\}$", re.findall(r"```json\n(.*?)```", DOCS, flags=re.DOTALL)[0], flags=re.DOTALL | re.M)
    assert [list(json.loads(line)) for line in lines] == [DPO.names, KTO.names]
