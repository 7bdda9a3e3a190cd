"""Names and settings that must be refused before anything is made, and credentials that must be written nowhere."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import analysis.status
import analysis.verify
import conf.__main__
import data.__main__
import filtering.__main__
import generation.__main__
import training.__main__
import training.base_model.__main__
from faults.children import Command, run
from faults.stages import RUN, Bench, settings
from faults.tally import PROMISED, SILENT, STOPPED, Tally

NAMES = ("", ".", "..", "../x", "/abs", "a/../../b", "a/b", "a\\b", "x" * 300, "a\nb", "-rf", "--help", "_x", ".x",
         "a..b", "аpple", "a b", "a\u202eb", "a\x1b[31m", "~root", "*", "$(touch canary)", "`touch canary`",
         "a;touch canary", "a|touch canary", "a&touch canary", "${HOME}", "${oc.env:HOME}", "%2e%2e", "con:", "a=b",
         "run=a")  # fmt: skip

BAD_OVERRIDES = {  # override: what the message must hold
    "sampling.num_inital=2": "sampling.num_initial",
    "samplin.num_initial=2": "sampling.num_initial",
    "+sampling.foo=1": "sampling.foo",
    "++nonsense.key=1": "nonsense",
    "~sampling": "sampling",
    "~sampling.temperature": "sampling.temperature",
    "sampling=nosuch": "There are",
    "strategy=EIX": "EIF",
    "model=../../etc/passwd": "There are",
    "reward=exact_mach": "exact_match",
    "peft=qlora": "lora",
    "engine=vlm": "vllm",
    "device=tpu": "There are",
    "seed=abc": "seed",
    "seed=-1": "seed",
    "seed=1.5": "seed",
    "seed=99999999999": "seed",
    "seed=null": "seed",
    "sampling.num_initial=0": "sampling.num_initial",
    "sampling.num_initial=-3": "sampling.num_initial",
    "sampling.num_initial=1000000000": "sampling.num_initial",
    "sampling.num_initial=two": "sampling.num_initial",
    "sampling.num_initial=[1,2]": "sampling.num_initial",
    "sampling.num_initial=1,2": "sampling.num_initial",
    "sampling.temperature=-0.1": "sampling.temperature",
    "sampling.temperature=nan": "sampling.temperature",
    "sampling.temperature=inf": "sampling.temperature",
    "sampling.top_p=0": "sampling.top_p",
    "sampling.top_p=1.1": "sampling.top_p",
    "sampling.max_tokens=0": "sampling.max_tokens",
    "reward.threshold=nan": "reward.threshold",
    "training.args.learning_rate=nan": "training.args.learning_rate",
    "data.train=0": "data.train",
    "data.max_bad_fraction=2": "data.max_bad_fraction",
    "data.source=../x": "data.source",
    "data.splits.train.interval=[0.9,0.1]": "data.splits.train",
    "filter.margin=-1": "filter.margin",
    "eval.num_samples=0": "eval.num_samples",
    "launcher.workers=-1": "launcher.workers",
    "launcher.shard_questions=0": "launcher.shard_questions",
    "engine.kind=cuda": "engine.kind",
    "prompt.initial=[]": "prompt.initial",
    "strategy.filter=best": "strategy.filter",
    "+run=other": "run",
    "run=other": "run",
    "hydra.run.dir=/tmp/x": "hydra.run.dir",
    "hydra/launcher=joblib": "hydra",
    "--config-dir=/tmp": "--config-dir",
    "--multirun": "--multirun",
    "sampling.num_initial": "sampling.num_initial",
    "=1": "=1",
    "model.name=${oc.env:HOME}": "oc.env",
    "model.name=${nowhere}": "nowhere",
    "model.name=${oc.decode:x}": "oc.decode",
}

SECRET = "s3cr3tcanaryvalue00"
CREDENTIALS = (f"model.path=https://user:{SECRET}@host/m", f"data.files.questions.path=https://u:{SECRET}@h/q.tsv",
               f"+wandb.api_key={SECRET}", f"+engine.args.hf_token={SECRET}", f"model.path=hf_{SECRET}",
               f"+token={SECRET}",
               f"+training.args.hub_token={SECRET}", f"+mlflow_tracking_password={SECRET}", f"+a.secret={SECRET}",
               f"model.name=sk-{SECRET}", "model.name=${oc.env:HF_TOKEN}", "+engine.args.x=${oc.env:WANDB_API_KEY}",
               "model.name=${oc.decode:${oc.env:HF_TOKEN}}")  # fmt: skip
VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "MLFLOW_TRACKING_PASSWORD", "OPENAI_API_KEY",
             "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "COMET_API_KEY")  # fmt: skip

COMMANDS: dict[Command, list[str]] = {
    conf.__main__.main: [],
    data.__main__.main: [],
    analysis.verify.main: [],
    analysis.status.main: [],
    training.base_model.__main__.main: [],
    generation.__main__.main: ["iteration=0"],
    filtering.__main__.main: ["iteration=0"],
    training.__main__.main: ["iteration=1"],
}


def empty(bench: Bench) -> Path:
    """Return an empty folder inside an empty folder, so that a way out of it shows."""
    outside = bench.scratch / "names"
    shutil.rmtree(outside, ignore_errors=True)
    inside = outside / "inside"
    inside.mkdir(parents=True)
    return inside


def nothing_made(inside: Path) -> bool:
    """Whether the two folders are as `empty` made them."""
    return not any(inside.iterdir()) and [entry.name for entry in inside.parent.iterdir()] == [inside.name]


def refused_names(bench: Bench, every: int = 1) -> Tally:
    """Every name (one in `every`) as that of a run, for every command: exit code 2, and nothing is made."""
    tally, inside = Tally("names of runs"), empty(bench)
    for name in NAMES[::every]:
        for command, more in COMMANDS.items():
            ended = run(command, [f"run={name}", *more], inside)
            told = "cannot be a run's name" in ended.said
            outcome = PROMISED if ended.code == 2 and told else STOPPED
            tally.add(outcome if nothing_made(inside) else SILENT, f"{command.__module__} {name!r}: {ended}")
    return tally


def refused_overrides(bench: Bench, every: int = 1) -> Tally:
    """Every bad override (one in `every`) beside good ones: exit code 2, the key or what there is instead, and nothing
    is made."""
    tally, inside = Tally("overrides"), empty(bench)
    for override, told in list(BAD_OVERRIDES.items())[::every]:
        ended = run(conf.__main__.main, [f"run={RUN}", *settings(bench.scratch), override], inside)
        outcome = PROMISED if ended.code == 2 and told in ended.said else STOPPED
        tally.add(outcome if nothing_made(inside) else SILENT, f"{override}: {ended}")
        inside = empty(bench)
    return tally


def leaked_secrets(bench: Bench) -> Tally:
    """Credentials in overrides are refused and not repeated; those in the environment are in no file and no output."""
    tally, inside = Tally("secrets"), empty(bench)
    os.environ |= dict.fromkeys(VARIABLES, SECRET)
    for override in CREDENTIALS:
        ended = run(conf.__main__.main, [f"run={RUN}", *settings(bench.scratch), override], inside)
        hidden = SECRET not in ended.said and nothing_made(inside)
        tally.add((PROMISED if ended.code == 2 else STOPPED) if hidden else SILENT, f"{override}: {ended}")
    folder = bench.stages[0].begin(bench.scratch / "secrets")
    said = [stage.run(folder).said for stage in [*bench.stages[:5], bench.training, *bench.stages[6:]]]
    (folder / "runs" / RUN / "config.yaml").write_text("{")
    said += [stage.run(folder).said for stage in bench.stages]  # errors talk, too
    for name in os.environ.keys() & set(VARIABLES):
        del os.environ[name]
    tally.add(SILENT if SECRET in "".join(said) else PROMISED, "what the stages print")
    for path in files(folder):
        tally.add(SILENT if SECRET.encode() in path.read_bytes() else PROMISED, str(path))
    return tally


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
