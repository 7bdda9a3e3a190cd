"""Settings may change until a run has samples; what was made from the earlier ones is moved aside, not lost."""

from tests.conftest import make_workspace


def test_settings_change_until_there_are_samples(tmp_path, tiny_model):
    workspace = make_workspace(tmp_path, tiny_model)
    workspace.start("demo")
    run = workspace.run("demo")
    questions, base = (run / "questions/_MANIFEST.json").read_bytes(), (run / "base_model.json").read_bytes()

    workspace.start("demo", "sampling.max_tokens=9")
    assert (run / "questions/_MANIFEST.json").read_bytes() == questions
    assert (run / "base_model.json").read_bytes() == base

    workspace.start("demo", "sampling.max_tokens=9", "data.train=10")
    assert (run / ".questions.superseded-00/_MANIFEST.json").read_bytes() == questions
    assert (run / "questions/_MANIFEST.json").read_bytes() != questions

    workspace.quick_stage("generation", "run=demo", "iteration=0")
    done = workspace.stage("conf", "run=demo", "sampling.max_tokens=8", check=False)
    assert done.returncode == 3 and "sampling.max_tokens: 9 -> 8" in done.stderr


def test_a_plan_without_samples_is_made_again(tmp_path, tiny_model):
    workspace = make_workspace(tmp_path, tiny_model)
    workspace.start("demo", "engine.args.max_model_len=128")
    done = workspace.stage("generation", "run=demo", "iteration=0", check=False)
    assert done.returncode == 2 and "has room" in done.stderr
    workspace.iterate("demo", 0, "engine.args.max_model_len=2048")
    assert (workspace.run("demo") / "iter_00/metrics.json").exists()
