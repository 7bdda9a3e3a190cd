"""reward=unit_tests: which program is in a text, which of its tests it passes, and when there is no score at all."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from filtering.rewards import unit_tests
from filtering.sandbox import bubblewrap
from store.errors import BadInput, ConfigError

needs_sandbox = pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap: apt-get install bubblewrap")
DOUBLE = "def double(x):\n    return x * 2"


def share(program: str, tests: list[str], solution: str = "", setup: str = "") -> float:
    row = {"test_list": tests, "test_setup_code": setup, "answers": [solution or program]}
    return float(unit_tests.score([program], [unit_tests.tested(row)])[0])


@pytest.mark.parametrize(("text", "program"), [
    ("x = 1", "x = 1"),
    ("Sure:\n```python\nx = 1\n```\nThis is it.", "x = 1"),
    ("```\nx = 1\n```\nor better\n```py\nx = 2\ny = 3\n```", "x = 2\ny = 3"),
    ("```python\nx = 1\n", "x = 1\n"),
    ("```python\nx = 1\n```\n```", "x = 1"),
    ("1. This:\n   ```python\n   if x:\n       y\n   ```", "if x:\n    y"),
    ("~~~\n```\n~~~", "```"),
    ("````\n```\nx\n```\n````", "```\nx\n```"),
    ("```python\r\nx = '\u2028'\r\n```\r\n", "x = '\u2028'\r"),
    ("use `x = 1` or ```y```", "use `x = 1` or ```y```"),
    ("", ""),
])  # fmt: skip
def test_the_last_block_of_code_is_the_program(text, program):
    assert unit_tests.program_in(text) == program


@needs_sandbox
def test_the_share_of_tests_that_pass_is_the_score():
    tests = [
        "assert double(2) == 4",
        "assert double('a') == 'aa'",
        "assert double([1]) == [1, 1]",
        "assert double(0) == 0",
    ]
    assert share(DOUBLE, tests) == 1
    assert share("def double(x):\n    return x + x if x != 'a' else 'b'", tests) == 0.75
    assert share("def double(x):\n    return x ** 2", tests) == 0.5
    assert share("def double(x)\n    return x", tests) == share("def triple(x): return x", tests, DOUBLE) == 0
    assert share("raise ValueError\n" + DOUBLE, tests, DOUBLE) == 0


@needs_sandbox
def test_a_program_that_ends_passes_none_of_the_tests_that_are_left():
    ends = "import os\ndef double(x):\n    return x * 2 if x else os._exit(0)"
    assert share(ends, ["assert double(1) == 2", "assert double(0) == 0", "assert double(2) == 4"]) == np.float32(1 / 3)


@needs_sandbox
@pytest.mark.parametrize("value", [
    "None", "True", "-1", "10**5000", "2**63", "-2**63", "0.1", "float('inf')", "'\\ud800\\0é'", "b'\\xff'", "1 + 2j",
    "()", "(1, [2, (3,)])", "set()", "{1, (2, 3)}", "frozenset({1})", "{1: {'a': (2,)}, (1, 2): None}", "int",
])  # fmt: skip
def test_values_come_back_as_they_are(value):
    same = f"assert same({value}) == {value} and type(same({value})) is type({value})"
    assert share("def same(x): return x", [same, f"assert same([{value}]) == [{value}]"]) == 1


@needs_sandbox
@pytest.mark.parametrize(("program", "tests"), [
    ("def sum(a, b): return a - b", ["assert sum(3, 2) == 1", "assert max(1, sum(9, 2)) == 7"]),
    ("import sys\ndef size(x): return sys.getsizeof(x)", ["assert size((1, 2)) == sys.getsizeof((1, 2))"]),
    ("from collections import Counter\ndef count(x): return Counter(x)", ["assert count('aab') == {'a': 2, 'b': 1}"]),
    ("def pick(items, kind): return [i for i in items if type(i) is kind]", ["assert pick([1, 'a'], int) == [1]"]),
    ("def keyed(*, a, b=2): return a, b", ["assert keyed(a=1) == (1, 2)", "assert keyed(b=1, a=2) == (2, 1)"]),
    ("all = []\ndef add(x):\n    all.append(x)\n    return len(all)", ["assert add(1) == 1", "assert add(1) == 2"]),
    ("def f(): return 1", ["import random\nfor _ in range(3): assert random.random() != f()"]),
])  # fmt: skip
def test_tests_of_many_forms_take_what_they_need_from_the_program(program, tests):
    assert share(program, tests) == 1


@needs_sandbox
def test_objects_of_the_program_are_made_before_its_tests():
    program = "class Node:\n    def __init__(self, x): self.x = x\ndef total(n): return n.x + n.next.x"
    tests = ["assert total(node) == 3", "assert node.next.x == 2", "assert node", "assert node == node.next"]
    assert share(program, tests, setup="node = Node(1)\nnode.next = Node(2)") == 0.5


@needs_sandbox
def test_a_program_cannot_redefine_what_its_tests_compare_with():
    tests = ["assert abs(near(1) - 3) < 1e-6", "assert sorted(near(1)) == [1]", "assert helper(near(2)) == 4"]
    lies = "def abs(x): return 0\ndef sorted(x): return [1]\ndef helper(x): return 4\ndef near(x): return 0"
    assert share(lies, tests, "def near(x): return 3") == 0


@needs_sandbox
def test_a_check_of_a_function_is_one_test():
    prompt = (
        "import math\ndef half(x):\n    return x / 2\ndef quarter(x: float) -> float:\n    ''' Quarter a number.'''\n"
    )
    check = "def check(candidate):\n    assert candidate(4) == 1\n    assert half(quarter(8)) == 1 and math.pi"
    row = {
        "prompt": prompt,
        "test": check,
        "entry_point": "quarter",
        "test_list": None,
        "answers": ["    return x / 4\n"],
    }
    right = [
        "    return half(half(x))\n",
        "def quarter(x):\n    return x / 4",
        "```python\ndef quarter(x): return x * 0.25\n```",
    ]
    wrong = [
        "    return half(x)",
        "",
        "def quarter(x): return x / 3",
        "def half(x): return 1\ndef quarter(x): return 1 if x == 4 else 0",
    ]
    asked = unit_tests.tested(row)
    assert unit_tests.score([*right, *wrong], [asked] * 7).tolist() == [1] * 3 + [0] * 4


@needs_sandbox
def test_the_same_program_runs_once(monkeypatch):
    ran = []
    monkeypatch.setattr(
        unit_tests, "passed", lambda program, task: ran.append(program) or bubblewrap.passed(program, task)
    )
    asked = unit_tests.tested({"test_list": ["assert double(2) == 4"], "answers": [DOUBLE]})
    texts = [DOUBLE, f"```\n{DOUBLE}\n```", f"Here:\n```python\n{DOUBLE}\n```\nDone.", "no"]
    assert unit_tests.score(texts, [asked] * 4).tolist() == [1, 1, 1, 0]
    assert len(ran) == 2


def test_a_question_without_tests_has_no_score_and_what_is_no_text_is_refused():
    assert np.isnan(unit_tests.score(["x"], [unit_tests.Tested(bubblewrap.Task([], "", []))]))
    for row in ({"test_list": [1]}, {"test_list": {"a": 1}}, {"test": ["x"], "entry_point": "f"}):
        with pytest.raises(BadInput, match="a text was expected"):
            unit_tests.tested(row | {"answers": ["x"]})


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """machine(script): one whose bwrap is this shell script; without one, a machine that has none."""

    def made(script: str | None) -> None:
        if script:
            (tmp_path / "bwrap").write_text(f"#!{shutil.which('bash')}\n{script}\n")
            (tmp_path / "bwrap").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        for cached in (bubblewrap.require, bubblewrap.sandbox):
            cached.cache_clear()

    yield made
    for cached in (bubblewrap.require, bubblewrap.sandbox):
        cached.cache_clear()


@pytest.mark.parametrize(("script", "said"), [
    (None, ["sandbox of bubblewrap, which is not here: `apt-get install bubblewrap`"]),
    ("echo 'bwrap: No permissions to create new namespace' >&2; exit 1",
     ["no sandbox starts on this machine (bwrap: No permissions to create new namespace)", "needs user namespaces"]),
    ("while [[ $1 != -- ]]; do shift; done; shift; exec \"$@\"",
     ["bubblewrap starts here, but a program in it may have a process, a thread, a file, memory of no process"]),
])  # fmt: skip
def test_without_a_sandbox_there_is_no_score(machine, script, said):
    machine(script)
    with pytest.raises(ConfigError) as error:
        share(DOUBLE, ["assert double(2) == 4"])
    assert all(part in str(error.value) for part in said), error.value


def test_another_machine_than_x86_64_is_refused_by_name(machine, monkeypatch):
    machine("exit 1")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(ConfigError, match="and this is aarch64: score the samples on such a machine"):
        share(DOUBLE, ["assert double(2) == 4"])


@needs_sandbox
def test_a_sandbox_sees_the_system_and_python_alone():
    listed = "import os\ndef here(path): return os.listdir(path)\ndef around(): return dict(os.environ)"
    roots = {Path(path).parts[1] for path in (sys.base_prefix, bubblewrap.__file__)}
    names = {"bin", "dev", "etc", "lib", "lib64", "sbin", "usr", *roots}
    tests = [
        f"assert set(here('/')) <= {names}",
        "assert here('/dev') == ['null']",
        f"assert here({str(bubblewrap.ROOT)!r}) == ['filtering']",
        "assert set(around()) <= {'PYTHONHASHSEED', 'PWD', 'LC_CTYPE'}",
    ]
    assert share(listed, tests) == 1 and "HOME" in os.environ
