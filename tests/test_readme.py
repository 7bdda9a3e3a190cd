"""What the README names exists, and its queries and snippets run."""

import re
from pathlib import Path

import duckdb
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(sql|python)\n(.*?)```", README, flags=re.DOTALL)


def test_every_make_target_and_variable_exists():
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall(r"^    make (.*?)(?:  +#.*)?$", README, flags=re.MULTILINE):
        target = next(word for word in command.split() if not word.startswith("-"))
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), command
        for variable in re.findall(r"\b([A-Z_]+)=", command):
            assert re.search(rf"^{variable} +\?=", makefile, flags=re.MULTILINE), command


def test_every_module_that_is_run_exists():
    for module in re.findall(r"python -m ([a-z._]+)", README):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_every_preset_exists():
    for group, preset in re.findall(r"\b(prompt|reward|training|peft|engine|sampling)=([a-z0-9_]+)", README):
        assert (ROOT / "conf" / group / f"{preset}.yaml").exists(), f"{group}={preset}"
    for group, line in (("model", "**Models**"), ("data", "**Data**")):
        paragraph = README[README.index(line) :].partition("\n\n")[0]
        for preset in re.findall(r"`([a-z0-9_.-]+)`", paragraph):
            if preset not in ("question", "answers"):
                assert (ROOT / "conf" / group / f"{preset}.yaml").exists(), preset


@pytest.fixture
def default(finished, tmp_path):
    """The folder of a user whose finished run has the name that the README gives it."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "default").symlink_to(finished.run("demo"))
    return tmp_path


@pytest.mark.parametrize(("language", "code"), BLOCKS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(BLOCKS)])
def test_its_queries_and_snippets_run(default, language, code, monkeypatch):
    monkeypatch.chdir(default)
    monkeypatch.setenv("HF_HOME", str(default / "hub"))
    if language == "sql":
        assert duckdb.sql(code) is not None
    else:
        exec(compile(code, "README.md", "exec"), {})
