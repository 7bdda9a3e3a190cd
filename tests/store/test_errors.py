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
