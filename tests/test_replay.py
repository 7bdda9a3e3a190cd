"""training.rows=all in a whole loop: the rows that every checkpoint was trained from are there and verified."""

from store.checkpoints import locate
from store.run import Run
from store.shards import read_manifest
from tests.conftest import make_workspace


def test_a_run_with_replay_is_whole(tmp_path, tiny_model):
    workspace = make_workspace(tmp_path, tiny_model)
    workspace.iterate("demo", 2, "strategy=ENE", "training.rows=all", "training.stop_check.num_prompts=0")
    run = Run("demo", workspace.folder / "runs")
    parents = locate(run, 2)[1].parents
    assert parents.keys() == {"sft", "sft_00", "checkpoint"}
    assert parents["sft_00"] == read_manifest(run.iteration(0).sft).digest
    workspace.stage("analysis.verify", "run=demo")
    (run.iteration(0).sft / "_MANIFEST.json").unlink()
    assert workspace.stage("analysis.verify", "run=demo", check=False).returncode == 5
