import errno
import fcntl
import os

import pytest

from store.errors import ConfigError
from store.filesystem import require_storage
from store.run import Run, locked


def failing(number: int):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail


def test_a_file_system_with_everything_is_taken_and_nothing_is_left_on_it(tmp_path):
    (tmp_path / ".storage-of-a-killed-stage.tmp").mkdir()
    require_storage(tmp_path, several_writers=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "call", "number", "said"),
    [(os, "rename", errno.EXDEV, "cannot be renamed"), (fcntl, "flock", errno.ENOLCK, "no locks")],
)
def test_what_a_file_system_lacks_is_named(tmp_path, monkeypatch, module, call, number, said):
    monkeypatch.setattr(module, call, failing(number))
    with (
        pytest.raises(ConfigError, match=rf"demo lies on a file system .*{said}.*Put runs/"),
        locked(Run("demo", tmp_path)),
    ):
        pass


def test_without_hard_links_one_worker_may_publish_and_several_may_not(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    require_storage(tmp_path)
    with pytest.raises(ConfigError, match=r"no hard links.*launcher\.workers=1"):
        require_storage(tmp_path, several_writers=True)
    assert list(tmp_path.iterdir()) == []


def test_a_link_that_replaces_is_no_link(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", lambda source, target: target.write_bytes(source.read_bytes()))
    with pytest.raises(ConfigError, match="replaces what has its name"):
        require_storage(tmp_path, several_writers=True)


def test_a_listing_that_lags_behind_is_noticed(tmp_path, monkeypatch):
    listing = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: [] if folder == tmp_path else listing(folder))
    with pytest.raises(ConfigError, match="listings do not show"):
        require_storage(tmp_path)


def test_an_error_of_the_disk_is_not_taken_for_a_lack(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "rename", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        require_storage(tmp_path)
