import pytest
import yaml

from conf.__main__ import composed
from conf.overrides import as_meant, each_as_meant, merge
from conf.validation import validate
from store.errors import ConfigError
from store.run import Run
from tests import warm

BAD = {
    "strateg=EIE": "strategy",
    "strategy=EIX": "EI",
    "sampling.num_inital=3": "num_initial",
    "+typo=1": "typo",
    "sampling.num_initial=-1": "num_initial",
    "sampling.num_initial=0": "num_initial",
    "sampling.num_initial=two": "num_initial",
    "sampling.num_initial=1.5": "num_initial",
    "sampling.num_initial=1000000": "num_initial",
    "seed=-1": "seed",
    "seed=99999999999": "seed",
    "sampling.temperature=-0.1": "temperature",
    "sampling.temperature=hot": "temperature",
    "sampling.top_p=0": "top_p",
    "sampling.top_p=2": "top_p",
    "sampling.max_tokens=0": "max_tokens",
    "model=gpt": "model",
    "data=nqq": "nq",
    "data.trian=5": "train",
    "data.train=0": "train",
    "data.max_bad_fraction=2": "max_bad_fraction",
    "engine=vlm": "vllm",
    "engine.kind=tgi": "kind",
    "training.on_empty=skip": "on_empty",
    "training=gpu": "training",
    "peft=qlora": "lora",
    "filter.margin=-1": "margin",
    "filter.max_copy_share=1.5": "max_copy_share",
    "launcher.workers=-1": "workers",
    "eval.num_samples=0": "num_samples",
    "reward=bleu": "reward",
    "device=tpu": "device",
    "~seed": "seed",
    "=": "=",
    "prompt=none": "prompt",
    "compat.cross=true": "cross_pairing",
}


@pytest.mark.parametrize("override", BAD)
def test_a_bad_override_is_named_and_nothing_is_made(override, tmp_path):
    done = warm.run(("conf", "run=demo", override), tmp_path, {"PATH": ""})
    assert done.returncode == 2, done.stderr
    assert BAD[override] in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def publish_samples(workspace):
    """Leave a shard where generation would: conf looks for no more than its name."""
    shard = workspace.run("demo") / "iter_00/initial_answers/test-00000-of-00001.parquet"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"")


def test_a_changed_setting_is_refused_with_the_difference_and_the_old_run_goes_on(workspace):
    workspace.stage("conf", "run=demo", *workspace.settings, "strategy=FIE")
    publish_samples(workspace)
    before = (workspace.run("demo") / "config.yaml").read_bytes()
    done = workspace.stage("conf", "run=demo", "strategy=FIF", check=False)
    assert done.returncode == 3
    assert "strategy.fine_tuning: 'evolving' -> 'fixed'" in done.stderr
    workspace.stage("conf", "run=demo")  # its name is enough
    assert (workspace.run("demo") / "config.yaml").read_bytes() == before


def test_a_run_without_samples_takes_other_settings(workspace):
    broken = workspace.folder / "broken.csv"
    broken.write_text("problem,solution\nwho,me\n")
    workspace.quick_stage("conf", "run=demo", *workspace.settings, f"data.files.questions.path={broken}")
    assert workspace.quick_stage("data", "run=demo", check=False).returncode == 4
    done = workspace.quick_stage("conf", "run=demo", "data.files.questions.path=questions.jsonl", "strategy=FIF")
    assert "strategy.name: 'ENF' -> 'FIF'" in done.stdout
    before = (workspace.run("demo") / "config.yaml").read_bytes()
    assert yaml.safe_load(before)["strategy"]["name"] == "FIF"
    workspace.quick_stage("data", "run=demo")
    publish_samples(workspace)
    assert workspace.quick_stage("conf", "run=demo", "strategy=FIE", check=False).returncode == 3
    assert (workspace.run("demo") / "config.yaml").read_bytes() == before


def test_another_data_preset_leaves_the_refused_ones_settings_behind(workspace):
    workspace.quick_stage("conf", "run=demo", *workspace.settings)
    workspace.quick_stage("conf", "run=demo", "data=hub", "data.hub.repo=a/b", f"data.hub.revision={'0' * 40}")
    data = yaml.safe_load((workspace.run("demo") / "config.yaml").read_text())["data"]
    assert data["files"]["questions"] == {"path": None, "wheel": None, "hub": data["hub"], "generator": None}
    assert data["train"] == 200, "the preset's own for this device"


@pytest.mark.parametrize(
    ("overrides", "args"),
    [
        ([], {}),
        (["model.template_args={enable_thinking:false}"], {"enable_thinking": False}),
        (["model.template_args={date_string: 26 Jul 2024}"], {"date_string": "26 Jul 2024"}),
        (["model=qwen3-1.7b"], {"enable_thinking": False}),
        (["model=qwen3-1.7b", "model.template_args={}"], {}),
        (["model=qwen3-1.7b", "model.template_args={date: now}"], {"date": "now"}),
        (["model=qwen3-1.7b", "model.template_args.enable_thinking=true"], {"enable_thinking": True}),
    ],
)
def test_the_chat_templates_arguments_are_those_that_are_given(overrides, args):
    assert composed(Run("demo"), ["device=cpu", *overrides])["model"]["template_args"] == args


def test_workers_and_batches_may_change_between_restarts(workspace):
    workspace.quick_stage("conf", "run=demo", *workspace.settings)
    before = (workspace.run("demo") / "config.yaml").read_bytes()
    workspace.quick_stage("conf", "run=demo", "launcher.workers=2", "engine.throughput.max_num_seqs=8")
    assert (workspace.run("demo") / "config.yaml").read_bytes() == before
    execution = yaml.safe_load((workspace.run("demo") / "_execution.yaml").read_text())
    assert execution["launcher"]["workers"] == 2


@pytest.mark.parametrize(
    "override",
    [
        "model.path=https://me:s3cret@host/x",
        "+engine.args.hf_token=abc",
        "+api_key=abc",
        "model.path=hf_0123456789abcdefgh",
    ],
)
def test_a_credential_is_refused_and_kept_nowhere(workspace, override):
    done = workspace.quick_stage("conf", "run=demo", *workspace.settings, override, check=False)
    assert done.returncode == 2
    assert "credential" in done.stderr
    assert not workspace.run("demo").exists()


@pytest.mark.parametrize(
    "value", ["é.jsonl", "a=b.jsonl", "a#b.jsonl", "a b's.jsonl", 'a"b.jsonl', "a~.jsonl", "a,b.jsonl"]
)
def test_a_path_is_taken_as_it_is_typed(workspace, value):
    questions = workspace.folder / value
    questions.write_bytes((workspace.folder / "questions.jsonl").read_bytes())
    workspace.quick_stage("conf", "run=demo", *workspace.settings, f"data.files.questions.path={value}")
    workspace.quick_stage("data", "run=demo")
    config = yaml.safe_load((workspace.run("demo") / "config.yaml").read_text())
    assert config["data"]["files"]["questions"]["path"] == value
    workspace.quick_stage("conf", "run=new", "like=demo")  # what is kept of it can be read again


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("seed=1,2", "seed=1,2"),
        ("seed=range(1,3)", "seed=range(1,3)"),
        ("p='é,b'", "p='é,b'"),
        ("p=é.csv,b.csv", "p='é.csv',b.csv"),
        ("p=~/a,~/b", "p=/home/me/a,/home/me/b"),
        ("seed=1,[2", "seed=1,[2"),
    ],
)
def test_each_of_several_values_is_taken_as_it_is_typed(monkeypatch, typed, read):
    monkeypatch.setenv("HOME", "/home/me")
    assert each_as_meant(typed) == read


@pytest.mark.parametrize("name", ["1", "1e3", "true", "null", "0x1f", "2024-01-01"])
def test_a_run_may_be_called_what_yaml_reads_as_something_else(name):
    assert composed(Run(name), ["device=cpu", f"models_of={name}0"])["run"] == name
    assert composed(Run("x"), ["device=cpu", f"models_of={name}0"])["models_of"] == f"{name}0"
    assert composed(Run("x"), ["device=cpu", "models_of=null"])["models_of"] is None


def test_the_home_folder_is_found(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert as_meant("model.path=~/models/m") == "model.path=/home/me/models/m"


def test_a_list_that_cannot_be_read_is_named_with_its_quotes(workspace):
    done = workspace.quick_stage("conf", "run=demo", *workspace.settings, "data.columns.id=[a=b]", check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert (
        """data.columns.id=[a=b] cannot be read""" in done.stderr
        and """ARGS='data.columns.id=["a=b"]'""" in done.stderr
    )


def test_a_given_override_replaces_the_stored_one_for_its_key():
    assert merge(["a=1", "b=2"], ["b=3", "c=4"]) == ["a=1", "b=3", "c=4"]


def test_settings_that_no_origin_can_serve_are_refused_before_a_run_exists():
    with pytest.raises(ConfigError, match="allow_unpinned"):
        validate(composed(Run("demo"), ["data=nq_paper"]))


def settings_like(workspace, *overrides: str) -> dict:
    workspace.quick_stage("conf", "run=new", "like=demo", *overrides)
    return yaml.safe_load((workspace.run("new") / "config.yaml").read_text())


def test_a_run_like_another_begins_with_its_settings(workspace):
    workspace.quick_stage("conf", "run=demo", *workspace.settings, "seed=5", "strategy=FIE", "strategy.filter=none")
    found = settings_like(workspace, "seed=6", "sampling.num_initial=1")
    assert (found["seed"], found["strategy"]["filter"], found["strategy"]["name"]) == (6, "none", "FIE")
    assert (found["sampling"]["num_initial"], found["sampling"]["num_corrections"]) == (1, 3)
    assert not any(override.startswith("like") for override in found["overrides"])
    before = (workspace.run("new") / "config.yaml").read_bytes()
    workspace.quick_stage("conf", "run=new")  # its name is enough, and the whole command changes nothing either
    assert settings_like(workspace, "seed=6", "sampling.num_initial=1") == yaml.safe_load(before)


def test_a_preset_given_anew_leaves_behind_what_was_changed_in_the_others(workspace):
    workspace.quick_stage("conf", "run=demo", *workspace.settings, "strategy=FIE", "strategy.filter=none")
    assert settings_like(workspace, "strategy=EIF")["strategy"]["filter"] == "improving"
    settings_like(workspace)  # what the run began with stays


def test_there_has_to_be_a_run_to_be_like(workspace):
    done = workspace.quick_stage("conf", "run=new", "like=demo", check=False)
    assert done.returncode == 2
    assert "runs/demo/config.yaml is missing" in done.stderr
    assert not workspace.run("new").exists()
    assert workspace.quick_stage("conf", "run=new", "like=a", "like=b", check=False).returncode == 2


def test_several_values_of_a_number_name_the_sweep():
    with pytest.raises(ConfigError, match=r"name=grid sampling.num_initial=1,3` makes a run for each value"):
        validate(composed(Run("demo"), [as_meant("sampling.num_initial=1,3")]))
