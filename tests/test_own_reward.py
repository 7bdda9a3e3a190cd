"""A whole loop with a reward of one's own (reward=python), and further columns of questions in it and in prompts."""

import json
import re
import shutil
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from store.run import Run
from store.schemas import QUESTIONS
from store.shards import read_manifest
from tests.conftest import QUESTIONS as ROWS
from tests.conftest import Workspace, make_workspace

REWARD = '''"""Half of it for a gold answer anywhere, the other half for one of at most `level` words."""

import time
from pathlib import Path


def score(questions, texts, golds, level):
    while Path("wait").exists():
        Path("waiting").touch()
        time.sleep(0.05)
    short = [len(text.split()) <= limit for text, limit in zip(texts, level, strict=True)]
    right = [any(gold in text for gold in aliases) for text, aliases in zip(texts, golds, strict=True)]
    return [(one + other) / 2 for one, other in zip(right, short, strict=True)]
'''
LOOP = [
    "data.columns.more=[level,hint]", "reward=python", "reward.function=my_reward.py:score", "reward.columns=[level]",
    "reward.also=[token_f1]", "strategy=ENF", "training.stop_check.num_prompts=0", "+prompt.columns=[hint]",
    'prompt.initial=[{role: user, content: "{question} ({hint})"}]',
    'prompt.correction=[{role: user, content: "{hint}: {question} {initial_answer}"}]',
]  # fmt: skip


def make(folder, model) -> Workspace:
    workspace = make_workspace(folder, model)
    rows = [
        row | {"level": i % 4, "hint": ["a", f"color {i}"], "copied": row["answers"][0]} for i, row in enumerate(ROWS)
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "my_reward.py").write_text(REWARD)
    return workspace


@pytest.fixture(scope="module")
def looped(tmp_path_factory, tiny_model):
    workspace = make(tmp_path_factory.mktemp("own"), tiny_model)
    workspace.iterate("demo", 1, *LOOP)
    return workspace


@pytest.fixture
def place(looped, tmp_path) -> Workspace:
    """A copy of the finished loop."""
    shutil.copytree(looped.folder, tmp_path, dirs_exist_ok=True)
    return Workspace(tmp_path, looped.settings)


def rows(folder) -> list[dict]:
    return pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("*.parquet"))).to_pylist()


def test_the_function_scores_with_the_further_column(looped):
    namespace = {}
    exec(REWARD, namespace)
    run = looped.run("demo")
    questions = {row["question_id"]: row for row in rows(run / "questions")}
    for n in ("iter_00", "iter_01"):
        found = rows(run / n / "trajectories")
        for row in found:
            level = json.loads(questions[row["question_id"]]["level"])
            for side in ("initial", "correction"):
                text = row["initial_answer" if side == "initial" else "correction"]
                [expected] = namespace["score"]([row["question"]], [text], [row["answers"]], [level])
                assert row[f"{side}_reward"] == row[f"{side}_python"] == expected
        assert {row["initial_python"] for row in found} >= {0, 0.5}
        metrics = json.loads((run / n / "metrics.json").read_text())
        assert metrics["reward"] == "python"
        assert {"initial_python", "correction_token_f1"} <= metrics["splits"]["test"]["mean_rewards"].keys()
    assert (run / "iter_01" / "checkpoint").is_dir()


def test_prompts_show_the_further_column(looped):
    run = looped.run("demo")
    questions = {row["question_id"]: row for row in rows(run / "questions")}
    for table, prompt in (("initial_answers", "{question} ({hint})"), ("corrections", "{hint}: {question} {answer}")):
        for row in rows(run / "iter_00" / table):
            asked = questions[row["question_id"]]
            hint = "\n".join(json.loads(asked["hint"]))
            content = prompt.format(question=asked["question"], hint=hint, answer=row.get("initial_answer"))
            assert row["prompt"] == [{"role": "user", "content": content}]


def test_a_finished_run_has_no_work_and_verifies(looped):
    for stage in ("generation", "filtering", "training"):
        assert "complete" in looped.stage(stage, "run=demo", "iteration=1").stdout
    looped.stage("analysis.verify", "run=demo")
    looped.stage("analysis.report", "run=demo")
    looped.stage("analysis.cards", "run=demo")
    said = looped.stage("filtering.golds", "run=demo").stdout
    assert re.fullmatch(r"my_reward.py:score gives the gold answers of 8 questions (0.[5-9]\d*|1) on average\n", said)


def test_a_run_without_it_is_what_it_was(looped):
    looped.start("plain")
    config = yaml.safe_load((looped.run("plain") / "config.yaml").read_text())
    assert not {"function", "columns", "timeout"} & config["reward"].keys()
    assert "more" not in config["data"]["columns"] and "columns" not in config["prompt"]
    assert "reward" not in yaml.safe_load((looped.run("plain") / "_execution.yaml").read_text())
    for path in (looped.run("plain") / "questions").glob("*.parquet"):
        assert pq.read_schema(path).equals(QUESTIONS)


def test_an_edited_function_is_noticed_and_rescores_the_same_samples(place):
    (place.folder / "my_reward.py").write_text(REWARD + "# another\n")
    for n in (0, 1):
        done = place.stage("filtering", "run=demo", f"iteration={n}", check=False)
        assert done.returncode == 3
        assert "my_reward.py has changed since runs/demo/iter_00/trajectories was scored" in done.stderr
        assert "make rescore FROM=demo RUN=<new name>" in done.stderr
    shutil.rmtree(place.run("demo") / "iter_01" / "trajectories")  # one iteration alone would be of another reward
    assert place.stage("filtering", "run=demo", "iteration=1", check=False).returncode == 3
    place.quick_stage("conf", "run=again", "like=demo", "samples_of=demo")
    place.stage("filtering.golds", "run=again")
    place.stage("filtering", "run=again", "iteration=0")
    theirs, ours = (
        read_manifest(Run(run, place.folder / "runs").iteration(0).trajectories) for run in ("demo", "again")
    )
    assert theirs.parents == ours.parents and theirs.settings != ours.settings
    (place.folder / "my_reward.py").write_text(REWARD)
    assert "complete" in place.stage("filtering", "run=demo", "iteration=0").stdout


def test_a_stage_killed_amid_the_function_goes_on(place):
    folder = Run("demo", place.folder / "runs").iteration(0)
    before = read_manifest(folder.trajectories)
    shutil.rmtree(folder.trajectories)
    (place.folder / "wait").touch()
    command = [sys.executable, "-m", "filtering", "run=demo", "iteration=0"]
    with subprocess.Popen(command, cwd=place.folder, env=place.environment) as process:
        deadline = time.monotonic() + 60
        while not (place.folder / "waiting").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.kill()
    (place.folder / "wait").unlink()
    place.stage("filtering", "run=demo", "iteration=0")
    assert read_manifest(folder.trajectories) == before


def test_a_time_out_is_told_with_its_row_and_may_be_raised(place):
    shutil.rmtree(place.run("demo") / "iter_00" / "trajectories")
    (place.folder / "wait").touch()
    place.quick_stage("conf", "run=demo", "reward.timeout=2")
    done = place.stage("filtering", "run=demo", "iteration=0", check=False)
    assert done.returncode == 2
    assert "runs/demo/iter_00/corrections/train-00000-of-00004.parquet, question_id='local-" in done.stderr
    assert ", init_index=0: it was not done after 2 s: make it faster, or give reward.timeout=<seconds>" in done.stderr
    (place.folder / "wait").unlink()
    place.quick_stage("conf", "run=demo", "reward.timeout=60")
    place.stage("filtering", "run=demo", "iteration=0")


@pytest.mark.parametrize(("body", "code", "said"), [
    ("return [1 / len(text.strip('reblugn am:0123456789or?')) for text in texts]", 2,
     [", question_id='local-", ", init_index=", "it raised ZeroDivisionError: division by zero (other.py, line 2)"]),
    ("return [float('nan')] * len(texts)", 4, ["pairs could not be scored, e.g. {'question_id'", "at most 1%"]),
])  # fmt: skip
def test_what_the_stage_says_of_rows_without_a_score(place, body, code, said):
    (place.folder / "other.py").write_text(f"def score(questions, texts, golds):\n    {body}\n")
    place.quick_stage(
        "conf", "run=other", "samples_of=demo", "like=demo", "reward=python", "reward.function=other.py:score"
    )
    done = place.stage("filtering", "run=other", "iteration=0", check=False)
    assert done.returncode == code and all(part in done.stderr for part in said), done.stderr
    assert "Traceback" not in done.stderr


def test_several_rewards_make_one_by_their_weights(place):
    weights = ["reward=weighted", "reward.weights={python:3,token_f1:1}", "reward.also=[exact_match]"]
    function = ["reward.function=my_reward.py:score", "reward.columns=[level]"]
    place.quick_stage("conf", "run=mean", "samples_of=demo", "like=demo", *weights, *function)
    place.stage("filtering.golds", "run=mean")
    place.stage("filtering", "run=mean", "iteration=0")
    found = rows(place.run("mean") / "iter_00" / "trajectories")
    for row in found:
        mean = (3 * row["correction_python"] + row["correction_token_f1"]) / 4
        assert row["correction_reward"] == row["correction_weighted"] == pytest.approx(mean)
        assert "initial_exact_match" in row
    assert len({row["correction_reward"] for row in found}) > 2
    metrics = json.loads((place.run("mean") / "iter_00" / "metrics.json").read_text())
    assert metrics["weights"] == {"python": 3, "token_f1": 1} and metrics["function"]["name"] == "score"
    place.stage("analysis", "run=mean")


@pytest.mark.parametrize(("settings", "said"), [
    (["reward=python"], "reward=python needs a function of yours"),
    (["reward=python", "reward.function=none.py:score"], "none.py cannot be read"),
    (["reward=python", "reward.function=my_reward.py:rate"], "my_reward.py has no rate, it has Path, score, time"),
    (["reward=python", "reward.function=my_reward.py:score", "reward.columns=[level]"],
     "reward.columns takes level, which the questions lack: read it from their file with data.columns.more=[level]"),
    (["data.columns.more=[level]", "+prompt.columns=[hint]"], "with data.columns.more=[level,hint]"),
    (["data.columns.more=[answers]"], "data.columns.more names 'answers'"),
    (["data.columns.more=[a.b]"], "data.columns.more names 'a.b'"),
    (["data.columns.more=[level,level]"], "data.columns.more names 'level'"),
    (["data.columns.more=[copied]", "data.columns.answers=[copied]", "+prompt.columns=[copied]"],
     "prompt.columns takes copied, which data.columns.answers reads gold answers from"),
])  # fmt: skip
def test_settings_that_cannot_be_are_refused_before_anything_is_made(looped, settings, said):
    done = looped.quick_stage("conf", "run=refused", *looped.settings, *settings, check=False)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert not (looped.run("refused") / "config.yaml").exists()


def test_a_column_that_no_prompt_shows_or_no_row_has_is_refused(looped):
    looped.start("unseen", "data.columns.more=[hint]", "+prompt.columns=[hint]")
    done = looped.stage("generation", "run=unseen", "iteration=0", check=False)
    assert done.returncode == 2 and "prompt.columns takes hint, and no message shows {hint}" in done.stderr
    looped.quick_stage("conf", "run=lacking", *looped.settings, "data.columns.more=[color]")
    done = looped.stage("data", "run=lacking", check=False)
    assert done.returncode == 4 and "MISSING_FIELD: there is no color, it has" in done.stderr


def test_a_copy_of_the_gold_answer_reaches_no_prompt(looped):
    shown = 'prompt.initial=[{role: user, content: "{question} {copied}"}]'
    looped.start("copied", "data.columns.more=[copied]", "+prompt.columns=[copied]", shown)
    done = looped.stage("filtering.golds", "run=copied", check=False)
    assert done.returncode == 4
    assert "prompt.columns takes copied, which is a gold answer in 20 of 20 training questions" in done.stderr
