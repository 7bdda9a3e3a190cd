import os
import subprocess
import sys
from pathlib import Path

import pytest

from store import publish as module
from store.publish import sweep_temporaries, write_atomic

ROOT = Path(__file__).parents[2]


def test_the_first_writer_wins_and_the_second_is_told(tmp_path):
    path = tmp_path / "deep" / "er" / "file"
    assert write_atomic(path, b"first")
    assert not write_atomic(path, b"second")
    assert path.read_bytes() == b"first"
    assert write_atomic(path, b"third", replace=True)
    assert path.read_bytes() == b"third"
    assert os.listdir(path.parent) == ["file"]


def test_where_hard_links_are_missing_a_rename_serves(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(module.NO_LINKS[0], "no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert write_atomic(tmp_path / "file", b"first")
    assert not write_atomic(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"


def test_eight_racing_processes_leave_one_writers_file(tmp_path):
    code = (
        "import sys; from pathlib import Path; from store.publish import write_atomic; sys.stdin.read(1);"
        "print(sum(write_atomic(Path(sys.argv[1]) / str(i), sys.argv[2].encode() * 50_000) for i in range(40)))"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(rank)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for rank in range(8)
    ]  # fmt: skip
    for racer in racers:
        racer.stdin.write("g")
        racer.stdin.flush()
    won = sum(int(racer.communicate()[0]) for racer in racers)
    assert won == 40
    for i in range(40):
        content = (tmp_path / str(i)).read_bytes()
        assert len(content) == 50_000
        assert len(set(content)) == 1


def test_an_error_names_the_file_and_leaves_no_temporary(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError) as caught:
        write_atomic(tmp_path / "file", b"content")
    assert str(tmp_path) in caught.value.filename
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_killed_writers_are_swept_and_nothing_else(tmp_path):
    (tmp_path / ".file.0123.tmp").write_bytes(b"torn")
    (tmp_path / "file.parquet").write_bytes(b"whole")
    assert sweep_temporaries(tmp_path) == 1
    assert os.listdir(tmp_path) == ["file.parquet"]
