"""Each exit code, reached by a real command in a real case; each message says what was found, what was expected, and
what to do next."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

ROWS = [{"question": f"which is number {i}?", "answers": ["zebra"]} for i in range(60)]
TRAINED = ("reward=in_accuracy", "prompt.answer_marker=null", "training.stop_check.num_prompts=0",
           "training.batch_size=1", "training.args.bf16=false", "training.args.learning_rate=1e30")  # fmt: skip


@pytest.fixture
def refused(workspace):
    """refused(code, *words, command=...): the command ends with the code, and its message has the words."""

    def check(code: int, *words: str, command: tuple[str, ...], **kwargs) -> None:
        done = workspace.stage(*command, check=False, **kwargs)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        for word in words:
            assert word in done.stderr, done.stderr

    return check


def write_questions(workspace, rows: list[dict], *more: str) -> None:
    lines = [json.dumps(row) for row in rows]
    (workspace.folder / "questions.jsonl").write_text("\n".join([*lines, *more, ""]))


def test_0_done(workspace):
    workspace.iterate("demo", 0)
    assert workspace.stage("analysis.verify", "run=demo").returncode == 0
    assert "iter_00/sft" in workspace.stage("analysis.status").stdout


def test_1_a_shard_that_kills_the_engine_twice_is_named_and_the_others_are_kept(refused, workspace):
    workspace.quick_stage("conf", "run=first", *workspace.settings)
    workspace.quick_stage("data", "run=first")
    questions = pq.read_table(workspace.run("first") / "questions" / "train-00000-of-00001.parquet")
    workspace.start("demo", f"+engine.args.die_on={questions['question_id'][7]}")  # in the second shard of five
    victim = "train-00001-of-00004.parquet"
    words = (f"shard {victim} killed the engine twice (signal SIGKILL)", "Look at its questions",
             "run the same command again: the other shards are kept")  # fmt: skip
    refused(1, *words, command=("generation", "run=demo", "iteration=0"))
    kept = {path.name for path in (workspace.run("demo") / "iter_00" / "corrections").glob("*.parquet")}
    assert kept and victim not in kept


def test_2_a_setting_that_is_none_is_answered_with_the_nearest(refused, workspace):
    command = ("conf", "run=demo", *workspace.settings, "sampling.num_inital=2")
    refused(2, "sampling.num_inital is not a setting", "did you mean sampling.num_initial?", command=command)
    assert not (workspace.folder / "runs").exists()


def test_3_another_setting_is_refused_with_both_values(refused, workspace):
    workspace.start("demo")
    workspace.quick_stage("generation", "run=demo", "iteration=0")
    command = ("conf", "run=demo", "sampling.temperature=0.123")
    refused(3, "config.yaml", "sampling.temperature: ", " -> 0.123", "RUN=<new name>", command=command)


def test_4_too_many_bad_rows_are_counted_and_listed(refused, workspace):
    write_questions(workspace, ROWS, "{", "{")
    workspace.quick_stage("conf", "run=demo", *workspace.settings)
    words = ("questions.jsonl", "2 of 62 rows", "2 BAD_JSON", "1.00%", "_quarantined.jsonl names each", "Fix the file")
    refused(4, *words, command=("data", "run=demo"))


def test_5_a_flipped_bit_is_found_by_who_reads_it(refused, workspace):
    workspace.start("demo")
    path = workspace.run("demo") / "questions" / "train-00000-of-00001.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    words = ("questions/train-00000-of-00001.parquet", "do not match the sha256 in its footer", "Move it away")
    refused(5, *words, command=("generation", "run=demo", "iteration=0"))
    refused(5, *words[:2], "make iterate RUN=demo", command=("analysis.verify", "run=demo"))


def test_6_nothing_to_train_on_is_told_with_the_transitions(refused, workspace):
    write_questions(workspace, ROWS)
    workspace.iterate("demo", 0, "training.on_empty=stop")
    words = ("kept none of 120 pairs", "i->i        120", "data.train=", "training.on_empty=keep_model")
    refused(6, *words, command=("training", "run=demo", "iteration=1"))
    assert not (workspace.run("demo") / "iter_01" / "checkpoint").exists()


def test_7_a_training_that_diverges_publishes_nothing(refused, workspace):
    workspace.iterate("demo", 0, *TRAINED)
    words = ("nothing was published", "training.args.learning_rate")
    refused(7, *words, command=("training", "run=demo", "iteration=1"))
    assert not (workspace.run("demo") / "iter_01" / "checkpoint").exists()


def test_8_a_file_larger_than_memory_is_named_with_its_size(refused, workspace):
    workspace.quick_stage("conf", "run=demo", *workspace.settings)
    os.truncate(workspace.folder / "questions.jsonl", 1 << 40)  # takes no room on disk

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))

    words = ("questions.jsonl", "1,099,511,627,776 bytes", "Split it", "run this again")
    refused(8, *words, command=("data", "run=demo"), preexec_fn=limit)


def test_74_a_write_that_fails_is_named_with_the_free_bytes(refused, workspace):
    workspace.quick_stage("conf", "run=demo", *workspace.settings)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # a shard is larger

    words = ("runs/demo/questions/", "File too large (errno 27", "bytes free in", "run the same command again")
    refused(74, *words, command=("data", "run=demo"), preexec_fn=limit)
    workspace.stage("data", "run=demo")


def test_75_a_run_that_is_held_names_its_holder(refused, workspace):
    workspace.quick_stage("conf", "run=demo", *workspace.settings)
    code = "import sys; from store.run import *\nwith locked(Run('demo')): print(flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code], cwd=workspace.folder, env=workspace.environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout.readline()
    words = ("runs/demo is held by process", str(holder.pid), "wait for it or stop it, then run this again")
    refused(75, *words, command=("data", "run=demo"))
    holder.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_130_and_143_a_signal_ends_a_stage_and_the_next_run_goes_on(workspace, number, code):
    workspace.start("demo", "+engine.args.step_seconds=0.2", "engine.throughput.max_num_seqs=8", "data.train=8")
    process = subprocess.Popen(
        [sys.executable, "-m", "generation", "run=demo", "iteration=0"],
        cwd=workspace.folder, env=workspace.environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    answers = workspace.run("demo") / "iter_00" / "initial_answers"
    while process.poll() is None and not any(answers.glob("*.parquet")):
        time.sleep(0.05)
    process.send_signal(number)
    started = time.monotonic()
    said = process.communicate()[1]
    assert process.returncode == code, said
    assert time.monotonic() - started < 10
    assert f"{number.name}: stopped; run the same command again to go on" in said
    workspace.stage("generation", "run=demo", "iteration=0")
