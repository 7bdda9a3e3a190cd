"""The hub is a small server here that speaks the hub's protocol to its real client."""

import contextlib
import gzip
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from data.sources import fetch
from store.errors import ConfigError

ROOT = Path(__file__).parents[2]
ROWS = b'{"question": "who", "answers": ["me"]}\n'
COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB = {"repo": "someone/questions", "path": "dev.jsonl", "revision": COMMIT}

PROBLEMS = gzip.compress("".join(["problem,solution\n", *(f"what is {i},{i}\n" for i in range(60))]).encode())
FILES = {  # of each data set
    "questions": ["README.md", ".gitattributes", "dev.jsonl"],
    "many": ["README.md", "data/test.parquet", "data/train.parquet"],
    "problems": ["all.csv.gz"],
}


def origins(**given: object) -> dict:
    return {"path": None, "hub": None, "wheel": None} | given


class Hub(BaseHTTPRequestHandler):
    """A data set with one file at one commit."""

    protocol_version = "HTTP/1.1"
    requested: list[str]

    def do_HEAD(self) -> None:
        if self.path.startswith(("/api/datasets", "/datasets")):
            self.requested.append(f"{self.command} {self.path}")
        if self.path == "/":
            self.answer(200, b"")
        elif self.path == "/api/datasets/someone/questions":
            self.answer(200, json.dumps({"id": "someone/questions", "sha": COMMIT}).encode())
        elif self.path == f"/datasets/someone/questions/resolve/{COMMIT}/dev.jsonl":
            self.answer(200, ROWS)
        elif self.path == f"/datasets/someone/problems/resolve/{COMMIT}/all.csv.gz":
            self.answer(200, PROBLEMS)
        elif (found := re.match(rf"/api/datasets/someone/(\w+)(/revision/{COMMIT})", self.path)) and found[1] in FILES:
            siblings = [{"rfilename": name} for name in FILES[found[1]]]
            self.answer(200, json.dumps({"id": found[1], "sha": COMMIT, "siblings": siblings}).encode())
        else:
            self.answer(404, b"no such file")

    do_GET = do_HEAD

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("X-Repo-Commit", COMMIT)
        if status == 404:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("ETag", '"rows"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path) -> Iterator[tuple[dict[str, str], list[str]]]:
    """The environment that leads to the server, and what it was asked."""
    handler = type("Hub", (Hub,), {"requested": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield environment(tmp_path, server.server_port), handler.requested
        server.shutdown()


def environment(folder: Path, port: int) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_") and "proxy" not in key.lower()}
    return kept | {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(folder / "hub"), "PYTHONPATH": str(ROOT)}


def fetched(env: dict[str, str], given: dict, allow_unpinned: bool = False) -> dict:
    """What fetch says in a process of its own, where the client reads its environment."""
    code = (
        "import json, sys; from data.sources import fetch\n"
        "given, allow = json.loads(sys.argv[1])\n"
        "try: source = fetch('dev', given, allow); print(json.dumps([source.origin, source.content.decode()]))\n"
        "except ValueError as error: print(json.dumps([str(error), error.exit_code]))"
    )
    arguments = [sys.executable, "-c", code, json.dumps([given, allow_unpinned])]
    process = subprocess.run(arguments, env=env, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def test_a_pinned_hub_file_is_downloaded_once_and_recorded(hub):
    env, requested = hub
    origin, content = fetched(env, origins(hub=HUB))
    assert content == ROWS.decode()
    assert origin == {"hub": "someone/questions", "path": "dev.jsonl", "revision": COMMIT, "sha256": origin["sha256"]}
    assert [request.split()[0] for request in requested] == ["HEAD", "GET"]
    assert fetched(env, origins(hub=HUB)) == [origin, content]
    assert fetched(env | {"HF_HUB_OFFLINE": "1"}, origins(hub=HUB)) == [origin, content]
    assert len(requested) == 2


def test_an_unpinned_hub_file_is_refused_unless_asked_for_and_then_recorded_with_its_commit(hub):
    env, requested = hub
    unpinned = origins(hub=HUB | {"revision": None})
    message, exit_code = fetched(env, unpinned)
    assert exit_code == 2 and "no pinned revision" in message and not requested
    origin, content = fetched(env, unpinned, allow_unpinned=True)
    assert origin["revision"] == COMMIT and content == ROWS.decode()


def test_a_data_set_with_one_file_of_questions_needs_no_path(hub):
    env, _ = hub
    origin, content = fetched(env, origins(hub=HUB | {"path": None}))
    assert (origin["path"], origin["revision"], content) == ("dev.jsonl", COMMIT, ROWS.decode())


def test_a_data_set_with_several_files_is_refused_with_their_names(hub):
    message, exit_code = fetched(hub[0], origins(hub=HUB | {"path": None, "repo": "someone/many"}))
    assert exit_code == 2 and "data.hub.path=" in message and "data/test.parquet, data/train.parquet" in message


def test_a_hub_data_set_is_one_line_with_its_columns(hub, tmp_path):
    env, _ = hub
    words = ["data=hub", "data.hub.repo=someone/problems", "data.columns.question=[problem]"]
    words += ["data.columns.answers=[solution]", "data.train=5"]

    def stage(*command: str) -> subprocess.CompletedProcess[str]:
        python = [sys.executable, "-m", *command, "run=demo"]
        return subprocess.run(python, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    refused = stage("conf", *words)
    assert refused.returncode == 2 and "data.hub.revision=<the 40 digits of a commit" in refused.stderr
    assert stage("conf", *words, f"data.hub.revision={COMMIT}").returncode == 0
    done = stage("data")
    assert done.returncode == 0 and "train 5 of" in done.stdout, done.stderr


def test_a_file_that_the_hub_does_not_have_is_named_with_the_way_on(hub):
    message, exit_code = fetched(hub[0], origins(hub=HUB | {"path": "other.jsonl"}))
    assert exit_code == 2 and "other.jsonl" in message and "data.files.dev.path=FILE" in message and "404" in message


def test_a_hub_that_is_not_there_is_given_up_in_seconds(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # takes the connection, never answers
        begin = time.perf_counter()
        message, exit_code = fetched(environment(tmp_path, silent.getsockname()[1]), origins(hub=HUB))
        assert time.perf_counter() - begin < 20  # the client alone would take 23
    assert exit_code == 2 and "the hub does not answer" in message


def test_a_local_file_comes_before_the_hub(tmp_path, hub):
    env, requested = hub
    (tmp_path / "mine.jsonl").write_bytes(b"{}\n")
    origin, content = fetched(env, origins(hub=HUB, path=str(tmp_path / "mine.jsonl")))
    assert content == "{}\n" and origin["path"].endswith("mine.jsonl") and not requested


@pytest.mark.parametrize("name", ["absent.jsonl", ".", "questions"])
def test_a_path_that_cannot_be_read_is_refused(tmp_path, name):
    with contextlib.chdir(tmp_path), pytest.raises(ConfigError) as error:
        fetch("dev", origins(path=name), False)
    assert name in str(error.value)
