"""How a stage ends on terminals of any kind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_lacks_a_character_ends_no_stage(encoding):
    code = "import sys; from store.errors import stage_main; stage_main(lambda _: print('>', '\u2265', file={}))"
    for stream in ("sys.stdout", "sys.stderr"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(stream)], cwd=ROOT, capture_output=True, check=False,
            env=os.environ | {"PYTHONIOENCODING": encoding},
        )  # fmt: skip
        assert done.returncode == 0
        assert done.stdout + done.stderr == b"> \\u2265\n"


def test_a_reader_that_has_seen_enough_ends_a_command_without_a_word_and_not_as_done():
    code = "from store.errors import stage_main; stage_main(lambda _: [print(n) for n in range(10**5)])"
    command = f"'{sys.executable}' -c '{code}' | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (141, "0\n", "")


def test_another_broken_pipe_is_an_error():
    code = "import os; r, w = os.pipe(); os.close(r); from store.errors import stage_main; "
    code += "stage_main(lambda _: os.write(w, b'x'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 74 and "Broken pipe" in done.stderr
