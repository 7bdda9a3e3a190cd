"""An engine that never started did not die: it is told once, with its own reason, and is not started again."""

import signal
from pathlib import Path

import pytest

from generation.launchers.failed_start import explain, last_words

CORE = "(EngineCore pid=4711) "
IN_A_PROCESS_OF_ITS_OWN = f"""\
{CORE}ERROR 11-29 08:14:02 [core.py:1510] EngineCore failed to start.
{CORE}ERROR 11-29 08:14:02 [core.py:1510] Traceback (most recent call last):
{CORE}ERROR 11-29 08:14:02 [core.py:1510]   File "vllm/v1/engine/core.py", line 1482, in run_engine_core
{CORE}ERROR 11-29 08:14:02 [core.py:1510] ValueError: Free memory on device cuda:0 (1.2/79.1 GiB) on startup is less
{CORE}Process EngineCore:
{CORE}Traceback (most recent call last):
{CORE}ValueError: Free memory on device cuda:0 (1.2/79.1 GiB) on startup is less
Traceback (most recent call last):
  File "generation/engines/vllm.py", line 62, in __init__
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {{'EngineCore': 1}}
"""
PYDANTIC = """\
Traceback (most recent call last):
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, User-specified max_model_len (4096) is greater than the derived max_model_len (2048) [type=value_error, \
input_value=ArgsKwargs((), {'model': ...gpu_memory_utilization}), input_type=ArgsKwargs]
    For further information visit https://errors.pydantic.dev/2.14/v/value_error
"""
COMPILER = """\
torch._inductor.exc.InductorError: CppCompileError: C++ compile error
Command: g++ main.cpp -shared
main.cpp:3:10: fatal error: Python.h: No such file or directory
compilation terminated.
"""


@pytest.mark.parametrize(
    ("said", "code", "cause", "remedy"),
    [
        (IN_A_PROCESS_OF_ITS_OWN, 8, "ValueError: Free memory on device", "Lower engine.throughput.max_num_seqs"),
        (PYDANTIC, 2, "start: User-specified max_model_len (4096) is greater than the derived max_model_len (2048) (",
         "a smaller engine.args.max_model_len"),
        (COMPILER, 2, "Python.h: No such file or directory", "g++ python3-dev"),
        ("OSError: /tmp/x.so: failed to map segment from shared object", 2, "OSError: /tmp/x.so", "Set TMPDIR"),
        ("Failed core proc(s): {'EngineCore': -9}", 8, "killed while it started", "free memory"),
        ("Timeout (0:10:00)!\nThread 0x1 (most recent call first):", 75, "did not start within", "hang_seconds"),
        ("", 2, "it said nothing", "Change engine.args"),
    ],
)  # fmt: skip
def test_the_line_that_tells_is_found_in_the_log(said, code, cause, remedy):
    exit_code, message = explain(1, said, Path("generation-0.log"))
    assert exit_code == code
    assert cause in message and remedy in message and "generation-0.log" in message


def test_a_hang_is_no_error_of_an_earlier_line():
    assert last_words("ValueError: handled\nTimeout (0:10:00)!\n") == "no progress"


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("start_error='no such kernel'", 2, "the engine did not start: RuntimeError: no such kernel"),
        ("start_error='CUDA out of memory'", 8, "RuntimeError: CUDA out of memory"),
        ("die_at_start=9", 8, "killed while it started (signal SIGKILL), as the kernel does for lack of memory"),
        (f"die_at_start={signal.SIGILL.value}", 2, "ended by signal SIGILL while it started"),
    ],
)
def test_a_failed_first_start_is_told_once(workspace, fault, code, words):
    workspace.start("demo", f"+engine.args.{fault}")
    done = workspace.stage("generation", "run=demo", "iteration=0", check=False)
    assert done.returncode == code, done.stderr
    assert done.stderr.count("error: ") == 1 and words in done.stderr
    assert "starting it again" not in done.stderr
