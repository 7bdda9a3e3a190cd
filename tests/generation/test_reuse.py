"""A run whose iteration 0 is copied from a larger one is, byte for byte, the run that drew it itself."""

import json

import pytest

from store.run import Run
from tests.conftest import make_workspace

SMALL = ["sampling.num_initial=1", "sampling.num_corrections=2"]
LARGE = ["sampling.num_initial=2", "sampling.num_corrections=3", "eval.num_samples=2"]
SHORT = ["engine.args.max_model_len=465"]  # some prompts do not fit


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, tiny_model):
    """A workspace with a run `pool`, and one `short` some of whose prompts are quarantined."""
    workspace = make_workspace(tmp_path_factory.mktemp("pool"), tiny_model)
    start_and_generate(workspace, "pool", *LARGE)
    start_and_generate(workspace, "short", *LARGE, *SHORT)
    return workspace


def samples(workspace, name: str) -> dict[str, bytes]:
    folder = Run(name, workspace.folder / "runs").iteration(0).dir
    paths = [path for part in ("initial_answers", "corrections") for path in (folder / part).iterdir()]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in paths}


def start_and_generate(workspace, name: str, *overrides: str, check: bool = True):
    workspace.start(name, *overrides)
    return workspace.stage("generation", f"run={name}", "iteration=0", check=check)


def costs(workspace, name: str) -> dict[str, dict]:
    folder = Run(name, workspace.folder / "runs").iteration(0).stats
    return {path.stem: json.loads(path.read_bytes()) for path in folder.glob("generation-*.json")}


@pytest.mark.parametrize(("pool", "settings"), [("pool", ["strategy=FIE"]), ("short", SHORT)])
def test_a_smaller_run_copies_exactly_what_it_would_have_drawn(workspace, pool, settings):
    cell, alone = f"{pool}-cell", f"{pool}-alone"
    start_and_generate(workspace, alone, *SMALL, *settings)
    done = start_and_generate(workspace, cell, *SMALL, *settings, f"launcher.pool={pool}")
    assert samples(workspace, cell) == samples(workspace, alone)
    assert f"samples copied from {pool}" in done.stdout
    assert ("corrections/_quarantined.jsonl" in samples(workspace, cell)) == (pool == "short")
    counted = costs(workspace, cell)
    assert list(counted) == ["generation-pool"], "no engine was started"
    assert counted["generation-pool"]["generated_tokens"] == 0
    rows = counted["generation-pool"]["copied_samples"]
    assert rows and rows == sum(json.loads(content)["written"] for name, content in
                                samples(workspace, cell).items() if name.endswith("_MANIFEST.json"))  # fmt: skip


def test_what_the_pool_is_too_small_for_is_drawn(workspace):
    start_and_generate(workspace, "larger", *LARGE, "sampling.num_corrections=4", "launcher.pool=pool")
    start_and_generate(workspace, "larger-alone", *LARGE, "sampling.num_corrections=4")
    assert samples(workspace, "larger") == samples(workspace, "larger-alone")
    assert len(costs(workspace, "larger")) == 2, "evaluation was copied, training was drawn"


@pytest.mark.parametrize(
    ("overrides", "code", "said"),
    [
        (["launcher.pool=nowhere"], 2, "make iterate N=0 RUN=nowhere"),
        (["launcher.pool=pool", "sampling.temperature=0.1"], 3, "sampling.temperature: 0.7 -> 0.1"),
        (["launcher.pool=pool", "seed=5"], 3, "seed: 0 -> 5"),
        (["launcher.pool=pool", "launcher.shard_questions=3"], 2, "was cut into other shards"),
    ],
)
def test_a_pool_that_does_not_fit_is_refused_and_nothing_is_drawn(workspace, overrides, code, said):
    name = f"refused-{overrides[-1].replace('=', '-')}"
    refused = start_and_generate(workspace, name, *SMALL, *overrides, check=False)
    assert refused.returncode == code and said in refused.stderr, refused.stderr
    assert not [sample for sample in samples(workspace, name) if sample.endswith(".parquet")]
