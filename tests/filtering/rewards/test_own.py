"""reward=python: the user's function in a process of its own, and what is said where it gives no scores."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from conf.reward_file import check_reward, read_function
from filtering.rewards import own
from store.errors import ConfigError

TEXTS = ["4", "five", "6"]
GOLDS = [["4"], ["5"], ["6", "six"]]


@pytest.fixture
def score(tmp_path, monkeypatch):
    """score(body) -> the scores of TEXTS by a function with this body, which may use all it is given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))

    def scored(body: str, before: str = "", timeout: int = 60, texts: list[str] = TEXTS) -> list[float]:
        lines = "\n    ".join(body.splitlines())
        Path("mine.py").write_text(f"{before}\ndef score(questions, texts, golds, level):\n    {lines}\n")
        function = own.Function.of("mine.py:score", ["level"], timeout)
        rows = own.Rows(
            [f"what is {gold[0]}" for gold in GOLDS], texts, GOLDS, {"level": [1, None, {"deep": [2]}]},
            "shard-0", lambda row: f"row-{row}",
        )  # fmt: skip
        return own.score(function, rows)

    return scored


def test_it_gets_questions_texts_golds_and_columns(score):
    body = """
assert questions == ["what is 4", "what is 5", "what is 6"] and level == [1, None, {"deep": [2]}]
return [float(text in aliases) for text, aliases in zip(texts, golds, strict=True)]"""
    found = score(body)
    assert found.dtype == np.float32 and found.tolist() == [1, 0, 1]


@pytest.mark.parametrize(("returned", "scores"), [
    ("[0, True, 1 + 1e-9]", [0, 1, 1]),
    ("numpy.array([0.25, numpy.nan, 1], numpy.float32)", [0.25, np.nan, 1]),
    ("(len(text) / 4 for text in texts)", [0.25, 1, 0.25]),
])  # fmt: skip
def test_numbers_of_any_kind_are_taken_and_nan_stays(score, returned, scores):
    np.testing.assert_array_equal(score(f"return {returned}", "import numpy"), np.array(scores, np.float32))


@pytest.mark.parametrize(("body", "said"), [
    ("return [1, 0]", "shard-0: it returned 2 values: 3 numbers from 0 to 1, or NaN, were expected"),
    ("return 1", "shard-0: it returned a value of type int: 3 numbers"),
    ("return None", "shard-0: it returned a value of type NoneType"),
    ("return '101'", "shard-0: it returned a value of type str"),
    ("return [1, 1.5, 0]", "shard-0, row-1: it returned 1.5: 3 numbers from 0 to 1"),
    ("return [1, 0, -1]", "shard-0, row-2: it returned -1"),
    ("return [1, None, 0]", "shard-0, row-1: it returned None"),
    ("return ['1', 0, 0]", "shard-0, row-0: it returned '1'"),
    ("return [int(text) / 9 for text in texts]", "shard-0, row-1: it raised ValueError: invalid literal for int()"),
    ("assert len(texts) == 1, 'one \\x1b at a time'\nreturn [1]",
     "shard-0: it raised AssertionError: one \\x1b at a time (mine.py, line 3)"),
    ("import sys\nsys.exit(3)", "shard-0, row-0: it raised SystemExit: 3"),
    ("import os\nif 'five' in texts: os._exit(0)\nreturn [0]",
     "shard-0, row-1: its process ended with exit code 0 before it had returned"),
    ("import os, signal\nif '6' in texts: os.kill(os.getpid(), signal.SIGSEGV)\nreturn [0]",
     "shard-0, row-2: its process was ended by SIGSEGV before it had returned"),
    ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
     "row-0: its process was ended by SIGKILL, as the kernel does where memory runs out"),
    ("import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\nx = b'x' * 2**31",
     "row-0: it raised MemoryError"),
])  # fmt: skip
def test_what_is_no_score_is_told_with_function_shard_and_row(score, body, said):
    with pytest.raises(ConfigError) as error:
        score(body)
    told = str(error.value)
    assert told.startswith("reward.function=mine.py:score, shard-0") and said in told
    assert told.endswith("Fix mine.py and run the same command again")


def test_a_loop_without_end_is_ended_and_its_row_named(score):
    with pytest.raises(ConfigError, match=r"row-1: it was not done after 3 s.*reward\.timeout="):
        score("while 'five' in texts: pass\nreturn [0]", timeout=3)


@pytest.mark.parametrize(("before", "said"), [
    ("import nowhere_to_be_found", "cannot be loaded: ModuleNotFoundError: No module named"),
    ("raise KeyError('x')", "cannot be loaded: KeyError: 'x' (mine.py, line 1)"),
])  # fmt: skip
def test_a_file_that_cannot_be_loaded_is_told(score, before, said):
    with pytest.raises(ConfigError) as error:
        score("return [0] * 3", before)
    assert said in str(error.value)


def test_modules_beside_the_file_are_found_and_prints_are_no_scores(score, tmp_path):
    (tmp_path / "beside.py").write_text("VALUE = 0.5\n")
    assert score("print('[1, 1, 1]')\nreturn [beside.VALUE] * 3", "import beside").tolist() == [0.5] * 3


def test_no_text_needs_no_process(score):
    assert score("raise ValueError", texts=[]).shape == (0,)


def test_what_it_starts_ends_with_it(score, tmp_path):
    body = f"""
import subprocess
child = subprocess.Popen(["sleep", "600"])
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
return [0] * 3"""
    score(body)
    assert gone(int((tmp_path / "pid").read_text()))


def test_it_ends_with_the_stage_that_is_killed(score, tmp_path, monkeypatch):
    body = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(__import__('os').getpid()))\n__import__('time').sleep(600)"
    with pytest.raises(ConfigError):
        score(body, timeout=2)  # writes the file
    (tmp_path / "pid").unlink()
    program = """
from filtering.rewards import own
rows = own.Rows(["q"], ["t"], [["g"]], {"level": [1]}, "shard-0", str)
own.score(own.Function.of("mine.py:score", ["level"], 600), rows)"""
    with subprocess.Popen([sys.executable, "-c", program]) as stage:
        deadline = time.monotonic() + 60
        while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):
            assert stage.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        stage.kill()
    assert gone(int((tmp_path / "pid").read_text()))


def gone(pid: int) -> bool:
    """Whether a process ends within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    os.kill(pid, 9)
    return False


@pytest.mark.parametrize(("content", "function", "said"), [
    (None, "mine.py:score", "mine.py cannot be read (No such file or directory); paths count from"),
    ("def other(): ...\nimport os", "mine.py:score", "mine.py has no score, it has os, other"),
    ("", "mine.py:score", "it has nothing"),
    ("def score(:", "mine.py:score", "mine.py is no Python: invalid syntax (mine.py, line 1)"),
    (b"\xff", "mine.py:score", "mine.py cannot be read (not UTF-8)"),
    ("\0", "mine.py:score", "mine.py is no Python"),
])  # fmt: skip
def test_a_function_that_is_not_there_is_refused_without_running_the_file(
    tmp_path, monkeypatch, content, function, said
):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("mine.py").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as error:
        read_function(function)
    assert said in str(error.value) and "run the same command again" in str(error.value)


@pytest.mark.parametrize(("rewards", "function", "said"), [
    (["python"], None, "needs a function of yours: give reward.function=my_reward.py:score"),
    (["token_f1", "in_accuracy"], "a.py:b", "is not used by token_f1, in_accuracy: give reward=python"),
    (["python"], "a.py", "FILE.py:FUNCTION was expected"),
    (["python"], "a.py:b:c d", "FILE.py:FUNCTION was expected"),
])  # fmt: skip
def test_a_setting_that_names_no_function_is_refused(rewards, function, said):
    with pytest.raises(ConfigError) as error:
        check_reward(rewards, function)
    assert said in str(error.value)


@pytest.mark.parametrize(("rewards", "weights"), [
    (["weighted"], None), (["weighted"], {}), (["token_f1"], {"token_f1": 1}), (["weighted"], {"weighted": 1}),
])  # fmt: skip
def test_weights_and_the_reward_that_has_them_go_together(rewards, weights):
    with pytest.raises(ConfigError, match=r"reward=weighted has the weights of others"):
        check_reward(rewards, None, weights)


def test_only_the_content_of_the_file_and_what_is_asked_of_it_make_another_reward(tmp_path):
    (tmp_path / "a.py").write_text("def score(): ...\n")
    (tmp_path / "b.py").write_text("def score(): ...\n")
    one, other = (
        own.Function.of(f"{tmp_path}/{name}.py:score", ["x"], seconds) for name, seconds in (("a", 1), ("b", 2))
    )
    assert one.identity == other.identity
    assert own.Function.of(f"{tmp_path}/a.py:score", [], 1).identity != one.identity
    (tmp_path / "a.py").write_text("def score(): ... \n")
    assert own.Function.of(f"{tmp_path}/a.py:score", ["x"], 1).identity != one.identity
