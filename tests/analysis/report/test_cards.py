"""Cards say what a folder holds in a form that the hub, its viewer and a reader understand, and change no digest."""

import json
from itertools import pairwise

import pytest
from huggingface_hub import DatasetCard, ModelCard

from store.checkpoints import CARD, locate, verify_folder
from store.schemas import SFT, trajectories


@pytest.fixture(scope="module")
def cards(loop):
    workspace, run = loop
    before = workspace.stage("training", "run=demo", "iteration=1").stdout
    workspace.stage("analysis.cards", "run=demo")
    assert workspace.stage("training", "run=demo", "iteration=1").stdout == before == "iter_01 training: complete\n"
    return {path.parent.relative_to(run.dir).as_posix(): path for path in run.dir.glob(f"iter_*/*/{CARD}")}


def test_every_folder_that_one_may_share_has_a_card(cards):
    folders = {f"iter_{n:02d}/{stage}" for n in (0, 1) for stage in ("trajectories", "sft")}
    assert cards.keys() == folders | {"iter_01/checkpoint"}


def test_a_checkpoint_with_a_card_verifies(cards, loop):
    folder, record = locate(loop[1], 1)
    assert folder == cards["iter_01/checkpoint"].parent
    verify_folder(folder, record)


@pytest.mark.parametrize("stage", ["trajectories", "sft"])
def test_a_dataset_card_has_the_splits_columns_and_counts(cards, loop, stage):
    _, run = loop
    folder = run.iteration(1).dir / stage
    card = DatasetCard.load(cards[f"iter_01/{stage}"])
    (config,) = card.data.configs
    manifest = json.loads((folder / "_MANIFEST.json").read_text())
    for files in config["data_files"]:
        shards = {path.name for path in folder.glob(files["path"])}
        assert shards == {name for name in manifest["shards"] if name.startswith(files["split"])}
        rows = sum(manifest["shards"][name]["rows"] for name in shards)
        assert f"| {files['split']} | {rows:,} |" in card.text
    schema = SFT if stage == "sft" else trajectories(manifest["settings"]["scoring"]["rewards"])
    for name in schema.names:
        assert f"| `{name}` | " in card.text
    assert manifest["digest"] in card.text
    assert (card.data.license, card.data.size_categories) == ("unknown", "n<1K")


@pytest.mark.parametrize("stage", ["trajectories", "sft"])
def test_the_datasets_library_reads_a_folder_by_its_card(cards, loop, tmp_path, stage):
    from datasets import load_dataset

    dataset = load_dataset(str(cards[f"iter_00/{stage}"].parent), cache_dir=str(tmp_path))
    manifest = json.loads((loop[1].iteration(0).dir / stage / "_MANIFEST.json").read_text())
    assert sum(split.num_rows for split in dataset.values()) == manifest["written"]
    assert list(dataset) == (["train"] if stage == "sft" else ["train", "validation", "test"])


def test_a_model_card_has_its_base_data_and_results(cards, loop):
    _, run = loop
    card = ModelCard.load(cards["iter_01/checkpoint"])
    metrics = json.loads(run.iteration(1).metrics.read_text())["splits"]["test"]
    values = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert values["corrections correct (%)"] == pytest.approx(100 * metrics["t2"], abs=0.01)
    assert values["initial answers correct (%)"] == pytest.approx(100 * metrics["t1"], abs=0.01)
    sft = json.loads((run.iteration(0).sft / "_MANIFEST.json").read_text())
    record = json.loads((run.iteration(1).checkpoint / "_checkpoint.json").read_text())
    for fact in (sft["digest"], record["digest"], f"{sft['written']:,} rows of iteration 0", "points)"):
        assert fact in card.text


def test_tables_are_tables_in_markdown(cards):
    for path in cards.values():
        lines = path.read_text(encoding="utf-8").splitlines()
        for above, line in pairwise(lines):
            if line.startswith("|---"):
                assert above.count("|") == line.count("|"), f"{path}: {above}"
