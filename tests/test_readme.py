"""What the README and the pages of docs name exists, and their queries and snippets run."""

import re
from pathlib import Path

import duckdb
import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
# on the user's run `default`; docs/extending.md and docs/rewards.md have tests of their own
BLOCKS = [
    (page.name, language, code)
    for page in (README, ROOT / "docs" / "tables.md")
    for language, code in re.findall(r"```(sql|python)\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def test_the_readme_is_read_in_one_sitting():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


@every_page
def test_every_make_target_and_variable_exists(page):
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall(r"^ +make (.*?)(?:  +#.*)?$", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
        target = next(word for word in command.split() if not word.startswith("-"))
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), command
        words = re.sub(r'".*', "", command)  # what ARGS holds are settings
        for variable in re.findall(r"\b([A-Z_]+)=", words):
            assert re.search(rf"^{variable} +\?=", makefile, flags=re.MULTILINE), command


@every_page
def test_every_module_that_is_run_exists(page):
    for module in re.findall(r"python -m (?!vllm\.|pip\b|timeit\b)([a-z._]+[a-z])", page.read_text(encoding="utf-8")):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


@every_page
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)|src=\"([^\":]+)\"", page.read_text(encoding="utf-8")):
        assert (page.parent / "".join(link)).exists(), link


def test_every_preset_exists():
    settings = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    texts = README.read_text(encoding="utf-8") + settings
    for group, preset in re.findall(r"\b(prompt|reward|training|peft|engine|sampling|sweep)=([a-z0-9_]+)", texts):
        assert (ROOT / "conf" / group / f"{preset}.yaml").exists(), f"{group}={preset}"
    for group, line in (("model", "**Models**"), ("data", "**Data**")):
        paragraph = settings[settings.index(line) :].partition("\n\n")[0]
        for preset in re.findall(r"`([a-z0-9_.-]+)`", paragraph):
            assert (ROOT / "conf" / group / f"{preset}.yaml").exists(), preset


@pytest.fixture
def default(finished, tmp_path):
    """The folder of a user whose finished run has the name that the README gives it."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "default").symlink_to(finished.run("demo"))
    return tmp_path


@pytest.mark.parametrize(
    ("page", "language", "code"), BLOCKS, ids=[f"{page}-{i}" for i, (page, *_) in enumerate(BLOCKS)]
)
def test_their_queries_and_snippets_run(default, page, language, code, monkeypatch):
    monkeypatch.chdir(default)
    monkeypatch.setenv("HF_HOME", str(default / "hub"))
    if language == "sql":
        assert duckdb.sql(code) is not None
    else:
        exec(compile(code, page, "exec"), {})
