"""The eight strategies of arXiv 2503.08681, algorithm 1: which checkpoint answers, corrects and is fine-tuned."""

import pytest

from conf.__main__ import composed
from conf.validation import validate
from generation.configured import plan_of as plan_generation
from generation.plan import load_or_write_plan
from store.checkpoints import Checkpoint, folder_digest, locate
from store.publish import write_atomic
from store.run import Run
from store.shards import Manifest
from training.plan import make_plan

STRATEGIES = ["EIE", "EIF", "ENE", "ENF", "FIE", "FIF", "FNE", "FNF"]


def record(name: str, **more) -> Checkpoint:
    files = {"model.safetensors": {"bytes": 1, "sha256": name}}
    return Checkpoint(files, folder_digest(files), **more)


@pytest.fixture
def run(tmp_path) -> Run:
    """M_0 .. M_3 and the manifests between them, each one telling which it is."""
    run = Run("demo", tmp_path)
    write_atomic(run.base_model, record("M_0", alias_of="../M_0").to_json())
    shard = {"rows": 4, "bytes": 1, "sha256": "x"}
    names = [f"{split}-00000-of-00001.parquet" for split in ("train", "validation", "test")]
    Manifest("questions", 0, {}, {}, 12, 12, 0, dict.fromkeys(names, shard)).write(run.questions)
    parents: dict[str, str] = {}
    for n in range(4):
        if n:
            write_atomic(run.iteration(n).checkpoint / "_checkpoint.json", record(f"M_{n}", parents=parents).to_json())
        for folder in (run.iteration(n).initial_answers, run.iteration(n).sft):
            manifest = Manifest(folder.name, n, {}, {}, 4, 4, 0, {names[0]: shard})
            manifest.write(folder)
        parents = {"sft": manifest.digest}
    return run


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_who_answers_corrects_and_is_fine_tuned(run, strategy):
    config = validate(composed(run, [f"strategy={strategy}", "engine=fake"]))
    load_or_write_plan(run.iteration(0).dir, plan_generation(run, config, 0))
    digest = {n: locate(run, n)[1].digest for n in range(4)}
    assert config.strategy.filter == {"I": "improving", "N": "non_decreasing"}[strategy[1]]
    for n in range(4):
        generation = plan_generation(run, config, n)
        assert generation.parents["checkpoint"] == digest[n]  # M_n corrects, always
        fixed = strategy[0] == "F" and n > 0
        assert generation.reused == (("train", "validation", "test") if fixed else ())  # M_0's answers, or M_n's own
        if n:
            training = make_plan(run, n, config.seed, config.strategy, config.training, config.peft)
            assert training.base.digest == digest[0 if strategy[2] == "F" else n - 1]
            assert training.rows[-1].folder == run.iteration(n - 1).sft


def test_held_out_answers_may_evolve_under_fixed_initialization(run):
    config = validate(composed(run, ["strategy=FIF", "engine=fake", "eval.initialization=evolving"]))
    load_or_write_plan(run.iteration(0).dir, plan_generation(run, config, 0))
    assert plan_generation(run, config, 2).reused == ("train",)
