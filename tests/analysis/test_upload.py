import subprocess
from pathlib import Path

import fsspec
import pytest

from analysis.upload import push
from store.run import Run
from tests.conftest import make_workspace


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_model):
    """A workspace with a finished iteration and a next one that has only begun."""
    workspace = make_workspace(tmp_path_factory.mktemp("push"), tiny_model)
    workspace.start("demo")
    workspace.quick_stage("generation", "run=demo", "iteration=0")
    workspace.quick_stage("filtering", "run=demo", "iteration=0")
    return workspace


@pytest.fixture
def memory():
    target = fsspec.filesystem("memory")
    yield target
    target.rm("/", recursive=True)


def copies(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def finished(run: Path) -> dict[str, bytes]:
    """The files that a reader of the run may want."""
    own = ("logs/", "stats/", "_execution.yaml", "_plan.json", ".lock")
    return {name: content for name, content in copies(run).items() if not any(part in name for part in own)}


def test_a_copy_holds_what_is_finished_and_sums_that_sha256sum_takes(place, tmp_path):
    done = place.stage("analysis.upload", "run=demo", f"to=file://{tmp_path}/copy")
    wanted = finished(place.run("demo"))
    assert f"{len(wanted)} files copied" in done.stdout
    found = copies(tmp_path / "copy")
    assert set(found.pop("SHA256SUMS").decode().split()[1::2]) == wanted.keys()
    assert found == wanted
    assert any("trajectories/train-" in name for name in found)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path / "copy", check=True)


def test_only_what_is_missing_is_copied_again(place, memory):
    run = Run("demo", place.folder / "runs")
    number = len(finished(run.dir))
    assert push(run, memory, "/copy") == (number, 0)
    assert push(run, memory, "/copy") == (0, number)
    memory.rm("/copy/iter_00/metrics.json")
    memory.pipe_file("/copy/config.yaml", b"cut off")
    assert push(run, memory, "/copy") == (2, number - 2)
    assert memory.cat_file("/copy/config.yaml") == run.config.read_bytes()


def test_a_copy_that_breaks_off_goes_on_and_trusts_only_its_sums(place, memory, monkeypatch):
    run = Run("demo", place.folder / "runs")
    put, names = memory.put_file, []

    def put_some(source, path):
        if path.endswith("initial_answers/_MANIFEST.json"):
            raise OSError("the line is dead")
        names.append(path)
        put(source, path)

    monkeypatch.setattr(memory, "put_file", put_some)
    with pytest.raises(OSError, match="the line is dead"):
        push(run, memory, "/copy")
    monkeypatch.undo()
    stale = names[-1]
    memory.pipe_file(stale, b"x" * memory.size(stale))  # of the same size, but in no sums yet
    copied, there = push(run, memory, "/copy")
    assert 0 < there < len(names)
    assert copied + there == len(finished(run.dir))
    assert memory.cat_file(stale) == (run.dir / stale.removeprefix("/copy/")).read_bytes()


def test_a_damaged_run_is_not_copied(place, tmp_path):
    path = place.run("demo") / "iter_00" / "corrections" / "train-00001-of-00004.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"x")
    try:
        done = place.stage("analysis.upload", "run=demo", f"to=file://{tmp_path}/copy", check=False)
    finally:
        path.write_bytes(content)
    assert done.returncode == 5
    assert path.name in done.stderr
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("url", ["s4://bucket/demo", "s3://bucket/demo"])
def test_a_url_that_nothing_here_takes_is_named(place, url):
    done = place.quick_stage("analysis.upload", "run=demo", f"to={url}", check=False)
    assert done.returncode == 2
    assert f"to={url}" in done.stderr
