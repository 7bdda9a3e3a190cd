import subprocess
import sys
from pathlib import Path

import pytest

from store.errors import ConfigError, TryAgain
from store.run import Run, iteration_number, locked, stage_arguments

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../x",
        "/abs",
        "a/../../b",
        "a/b",
        "x" * 300,
        "a\0b",
        "a\nb",
        "-rf",
        "_x",
        ".x",
        "a..b",
        "аpple",
        "a b",
        "$(id)",
    ],
)
def test_a_name_that_is_not_a_plain_folder_name_is_refused(name):
    with pytest.raises(ConfigError, match="cannot be a run's name"):
        Run(name)


def test_iterations_are_listed_in_order_and_nothing_else(tmp_path):
    for name in ("iter_10", "iter_02", "iter_xx", ".iter_03", "questions"):
        (tmp_path / "demo" / name).mkdir(parents=True)
    assert [iteration.number for iteration in Run("demo", tmp_path).iterations()] == [2, 10]


def test_a_mistyped_argument_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean iteration="):
        stage_arguments(["run=demo", "iteratoin=2"], "generation", "run", "iteration")
    with pytest.raises(ConfigError, match=r"'x=1' is not an argument of this stage\. Usage: python -m generation"):
        stage_arguments(["x=1"], "generation", "run", "iteration")
    with pytest.raises(ConfigError, match="iteration missing"):
        stage_arguments(["run=demo"], "generation", "run", "iteration")


@pytest.mark.parametrize("text", ["-1", "1.5", "", "100", "²", "one"])
def test_an_iteration_is_a_whole_number_up_to_99(text):
    with pytest.raises(ConfigError):
        iteration_number(text)


def test_a_held_run_names_its_holder_and_is_free_once_it_dies(tmp_path):
    code = (
        "import sys; from pathlib import Path; from store.run import Run, locked\n"
        "with locked(Run('demo', Path(sys.argv[1]))): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(TryAgain, match=f"process {holder.pid}"), locked(Run("demo", tmp_path)):
        pass
    holder.kill()
    holder.wait()
    with locked(Run("demo", tmp_path)):
        pass
