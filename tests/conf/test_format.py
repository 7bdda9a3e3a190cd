"""A run of another version's format is told what to do, and its settings can still start another."""

from conf.stored import FORMAT, with_checksum
from tests.conftest import make_workspace


def test_a_run_of_an_earlier_format_is_refused_with_the_way_on(tmp_path, tiny_model):
    workspace = make_workspace(tmp_path, tiny_model)
    workspace.start("demo")
    config = workspace.run("demo") / "config.yaml"
    text = config.read_bytes().rpartition(b"digest: ")[0]
    assert text.startswith(b"format: %d\n" % FORMAT)
    config.write_bytes(with_checksum(text.partition(b"\n")[2]))  # as before runs said their format

    for command in (("conf", "run=demo"), ("data", "run=demo"), ("generation", "run=demo", "iteration=0")):
        done = workspace.quick_stage(*command, check=False)
        assert done.returncode == 3, done.stderr
        assert f"of format 1, this version reads and writes format {FORMAT}" in done.stderr
        assert "LIKE=demo RUN=<new name>" in done.stderr
    workspace.stage("conf", "run=new", "like=demo")
