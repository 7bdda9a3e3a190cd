"""What a run costs, counted: guards of its speed that no clock and no other load on the machine can disturb."""

import contextlib
import json
from collections import Counter

import pyarrow.parquet as pq
import pytest

import filtering.__main__
import generation.manifests
import store.publish
import store.shards
from conf.stored import load
from generation import worker
from generation.configured import plan_of, settings_of
from generation.events import Reporter
from generation.jobs import ShardQueue
from generation.plan import load_or_write_plan
from generation.tokenization import ChatTokenizer
from store.run import Run
from tests.conftest import make_workspace

QUESTIONS, HELD_OUT, NUM_INITIAL, NUM_CORRECTIONS = 20, 6, 2, 3
INITIAL_ANSWERS = QUESTIONS * NUM_INITIAL + 2 * HELD_OUT
CORRECTIONS = QUESTIONS * NUM_INITIAL * NUM_CORRECTIONS + 2 * HELD_OUT


class Counts:
    """How often what was done, over generation and filtering of one iteration."""

    def __init__(self) -> None:
        self.encoded, self.written = Counter(), Counter()
        self.read = {"generation": Counter(), "filtering": Counter()}


@pytest.fixture(scope="module")
def counted(tmp_path_factory, tiny_model):
    """(counts, folder of the iteration) of a run in shards of five questions, on the deterministic engine."""
    workspace = make_workspace(tmp_path_factory.mktemp("counts"), tiny_model)
    workspace.start("demo")
    run, counts, stage = Run("demo"), Counts(), ["generation"]
    encode, read_bytes, write = ChatTokenizer.encode, store.shards.read_bytes, store.publish._write_durably

    def counting_encode(self, messages):
        counts.encoded[json.dumps(messages)] += 1
        return encode(self, messages)

    def counting_read(path):
        counts.read[stage[0]][path.name, path.parent.name] += 1
        return read_bytes(path)

    def counting_write(path, content):
        counts.written[path.suffixes[-3]] += len(content)  # .train-00000-of-00004.parquet.<unique>.tmp
        write(path, content)

    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(workspace.folder):
        patch.setattr(ChatTokenizer, "encode", counting_encode)
        for module in (store.shards, generation.manifests):
            patch.setattr(module, "read_bytes", counting_read)
        patch.setattr(store.publish, "_write_durably", counting_write)
        config, folder = load(run), run.iteration(0)
        plan = load_or_write_plan(folder.dir, plan_of(run, config, 0))
        worker.work(run, plan, settings_of(config), ShardQueue(plan.shards, 0, 1), Reporter())
        generation.manifests.write_manifests(run, plan)
        stage[0] = "filtering"
        filtering.__main__.main(["run=demo", "iteration=0"])
    return counts, workspace.run("demo") / "iter_00"


def test_an_iteration_starts_one_engine_for_both_phases_and_all_splits(counted):
    (costs,) = [json.loads(path.read_text()) for path in (counted[1] / "stats").glob("generation-*.json")]
    assert costs["engine_starts"] == 1
    assert costs["requests"] == INITIAL_ANSWERS + CORRECTIONS


def test_a_prompt_is_tokenized_once_however_many_samples_it_gets(counted):
    prompts = Counter({messages: times for messages, times in counted[0].encoded.items() if len(messages) > 200})
    assert prompts.total() == QUESTIONS + 2 * HELD_OUT + INITIAL_ANSWERS


def test_generation_reads_its_initial_answers_twice_and_its_corrections_once(counted):
    passes = {folder: set() for folder in ("initial_answers", "corrections")}
    for (name, folder), times in counted[0].read["generation"].items():
        if name.endswith(".parquet") and folder in passes:
            passes[folder].add(times)
    assert passes == {"initial_answers": {2}, "corrections": {1}}


def test_filtering_makes_two_passes_over_the_samples(counted):
    samples = {
        times
        for (name, folder), times in counted[0].read["filtering"].items()
        if name.endswith(".parquet") and folder in ("initial_answers", "corrections")
    }
    assert samples == {2}


def test_every_byte_of_a_table_is_written_once(counted):
    on_disk = sum(path.stat().st_size for path in counted[1].rglob("*.parquet"))
    assert counted[0].written[".parquet"] == on_disk


def test_a_row_takes_few_bytes(counted):
    """Compressed columns alone: footers weigh more than that in shards of a few rows."""
    limits = {"initial_answers": 400, "corrections": 260, "trajectories": 260}  # a quarter above what they take
    for table, limit in limits.items():
        metadata = [pq.read_metadata(path) for path in (counted[1] / table).glob("*.parquet")]
        groups = [shard.row_group(i) for shard in metadata for i in range(shard.num_row_groups)]
        size = sum(group.column(i).total_compressed_size for group in groups for i in range(group.num_columns))
        assert size < limit * sum(group.num_rows for group in groups), table
