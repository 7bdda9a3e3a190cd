"""Who may import whom, read from the files: data flows one way, and heavy libraries stay in their rooms."""

import ast
from pathlib import Path

import pytest

from benchmarks.house import STAGES, functions, takes_all

ROOT = Path(__file__).parents[1]
ROOMS = ("store", "conf", "data", "generation", "filtering", "training", "judging", "analysis")
ALLOWED = {  # what a room may import of ours: the floors below it, and itself
    "store": {"store"},
    "conf": {"store", "conf"},
    "data": {"store", "conf", "data"},
    "generation": {"store", "conf", "generation"},
    "filtering": {"store", "conf", "data", "filtering"},
    "training": {"store", "conf", "training"},
    "judging": {"store", "conf", "generation", "filtering", "judging"},
    "analysis": {"store", "conf", "data", "analysis"},
}
HEAVY = {  # library -> rooms that may import it
    "vllm": {"generation"},
    "torch": {"generation", "training"},
    "transformers": {"generation", "training"},
    "polars": {"filtering"},
    "tokenizers": {"filtering", "generation", "training"},
    "trl": {"training"},
    "peft": {"training"},
    "datasets": {"training"},
    "submitit": {"generation"},
    "ray": {"generation"},
    "fsspec": {"analysis"},
    "openai": {"judging"},
    **{tracker: {"analysis"} for tracker in ("tensorboardX", "wandb", "mlflow", "trackio")},
    "hydra": {"conf"},
    "omegaconf": {"conf"},
    "scipy": {"analysis"},
    "matplotlib": {"analysis"},
}


def imports(path: Path) -> set[str]:
    """The top-level names a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.partition(".")[0])
    return found


FILES = [(room, path) for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


@pytest.mark.parametrize(("room", "path"), FILES, ids=lambda value: str(value).removeprefix(f"{ROOT}/"))
def test_a_file_imports_only_what_its_room_may(room, path):
    names = imports(path)
    assert names & set(ROOMS) <= ALLOWED[room]
    assert not {library for library, rooms in HEAVY.items() if library in names and room not in rooms}


def test_every_room_is_looked_at():
    assert {room for room, _ in FILES} == set(ROOMS)
    assert len(FILES) > 50


def modules(path: Path) -> set[str]:
    """The dotted names a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_text_commands_import_nothing_of_the_report():
    others = [path for _, path in FILES if path.is_relative_to(ROOT / "analysis") and "report" not in path.parts]
    assert len(others) > 20
    of_report = ("analysis.report", "jinja2", "markupsafe", "matplotlib")
    assert not {(path.name, name) for path in others for name in modules(path) if name.startswith(of_report)}


def test_statistics_are_of_numbers_and_questions_alone():
    found = {name for path in (ROOT / "analysis" / "stats").glob("*.py") for name in modules(path)}
    ours = {name for name in found if name.split(".")[0] in ROOMS}
    assert all(name.startswith(("analysis.stats", "store.")) for name in ours), ours


def test_the_whole_configuration_ends_at_the_mains():
    """A stage's functions take it in __main__.py and configured.py alone, and only programs load it."""
    takers = [path for stage in STAGES for path, function in functions(stage) if takes_all(function)]
    assert {path.name for path in takers} == {"__main__.py", "configured.py"}
    loading = [path for room, path in FILES if room in STAGES and "conf.stored.load" in modules(path)]
    programs = [path for path in loading if "stage_main(main)\n" in path.read_text(encoding="utf-8")]
    assert programs == loading != []
