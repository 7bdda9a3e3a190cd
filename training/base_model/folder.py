"""What a base model's folder must hold, and room and order while one is made. No torch: checks cost milliseconds."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from store.errors import ConfigError, CorruptArtifact
from store.publish import make_folder
from store.tensors import INDEX, weight_files
from training.base_model.tensors import check_tensors

CODE_KEY = "auto_map"  # names Python files of the model's repository that transformers would run
WITH_CODE_KEY = ("config.json", "tokenizer_config.json", "generation_config.json")
ADAPTER = "adapter_config.json"


def check_model(folder: Path) -> None:
    """Raise CorruptArtifact, with all that was found, unless the folder has a configuration, whole safetensors weights
    in full precision, a tokenizer and a chat template, and asks for no code of its own."""
    if (folder / ADAPTER).is_file():
        base = read_json(folder / ADAPTER).get("base_model_name_or_path")
        beside = (folder / "config.json").is_file()
        raise CorruptArtifact(
            f"{folder} holds an adapter beside a model ({ADAPTER}, of {base}), and transformers would load {base} with "
            "it where vLLM loads the model: give a copy of the folder without the adapter's files"
            if beside
            else f"{folder} holds an adapter alone ({ADAPTER}, of {base}): merge it into its base with "
            "PeftModel.from_pretrained(base, adapter).merge_and_unload().save_pretrained(<folder>), save the tokenizer "
            "there too, and give that folder"
        )
    findings = []
    for check in (check_config, check_weights, check_tokenizer):
        try:
            check(folder)
        except CorruptArtifact as error:
            findings.append(str(error))
    if findings:
        raise CorruptArtifact("\n  ".join(findings))


def check_config(folder: Path) -> None:
    """Raise CorruptArtifact unless config.json is one of dense weights, and no file asks for code."""
    config = read_json(folder / "config.json")
    if "model_type" not in config:
        raise CorruptArtifact(f"{folder / 'config.json'} names no model_type: give a folder that transformers can load")
    if quantized := config.get("quantization_config"):
        method = quantized.get("quant_method", "unnamed") if isinstance(quantized, dict) else quantized
        raise CorruptArtifact(
            f"{folder / 'config.json'} has a quantization_config ({method}), and training needs weights in full "
            "precision: use the model that it was made from"
        )
    for name in WITH_CODE_KEY:
        if (folder / name).is_file() and CODE_KEY in read_json(folder / name):
            raise CorruptArtifact(
                f"{folder / name} asks for code of its own ({CODE_KEY}), which is never run: if transformers knows "
                f"model_type {config['model_type']!r}, remove that key, else use another model"
            )


def check_tokenizer(folder: Path) -> None:
    """Raise CorruptArtifact unless the folder has tokenizer.json and a chat template."""
    findings = []
    if not (folder / "tokenizer.json").is_file():
        path = repr(str(folder))
        findings.append(
            f"{folder} has no tokenizer.json: let transformers write it, in a copy of the folder if a run uses "
            f"this one (AutoTokenizer.from_pretrained({path}).save_pretrained({path}))"
        )
    tokenizer_config = folder / "tokenizer_config.json"
    in_config = tokenizer_config.is_file() and read_json(tokenizer_config).get("chat_template")
    if not in_config and not (folder / "chat_template.jinja").is_file():
        findings.append(f"{folder} has no chat template: use an instruct model, or add chat_template.jinja")
    if findings:
        raise CorruptArtifact("\n  ".join(findings))


def check_weights(folder: Path) -> None:
    """CorruptArtifact unless the safetensors files are those of the index, or the one model.safetensors, and whole."""
    found = {path.name for path in weight_files(folder)}
    index = folder / INDEX
    place_of = read_index(index) if index.is_file() else {}
    expected = set(place_of.values()) or {"model.safetensors"}
    if found != expected:
        differing = ", ".join(sorted(found ^ expected)[:4])
        raise CorruptArtifact(
            f"{folder} has the weights {sorted(found) or 'in no safetensors file'}, and "
            f"{INDEX if index.is_file() else 'a model in one file'} means {sorted(expected)}: move what is too much "
            f"out of the folder, download what is missing (it differs in {differing})"
        )
    tensors = {(name, file) for file in sorted(found) for name in check_tensors(folder / file)}
    if place_of and set(place_of.items()) != tensors:
        name, file = min(set(place_of.items()) ^ tensors)
        raise CorruptArtifact(f"{index} and {folder / file} disagree on where tensor {name} is: download both again")


def read_index(path: Path) -> dict[str, str]:
    """{tensor: file} of a model in several files."""
    place_of = read_json(path).get("weight_map")
    if not isinstance(place_of, dict) or not all(isinstance(file, str) for file in place_of.values()) or not place_of:
        raise CorruptArtifact(f"{path} has no weight_map from tensors to files: download it again")
    return place_of


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object; CorruptArtifact when the file is missing or something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CorruptArtifact(f"{path} is missing: give a folder that transformers can load") from None
    except (ValueError, RecursionError) as error:
        raise CorruptArtifact(f"{path} is not JSON ({error}): download it again") from None
    if not isinstance(value, dict):
        raise CorruptArtifact(f"{path} holds a {type(value).__name__}, an object was expected: download it again")
    return value


def require_space(folder: Path, num_bytes: int) -> None:
    """ConfigError when the file system of `folder` has less free."""
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise ConfigError(
            f"{folder.resolve()} has {free / 2**30:.1f} GiB free and the model needs {num_bytes / 2**30:.1f} GiB: free "
            "some space, or keep models elsewhere with STASC_CACHE=<folder>"
        )


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Make a folder and hold it, waiting for whoever holds it; the kernel releases it when the holder dies. The holder
    may remove it: who has waited makes it again."""
    while True:
        make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waiting for the process that works in {folder}", flush=True)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.is_dir() and os.path.samestat(os.fstat(descriptor), folder.stat()):
                yield
                return
        finally:
            os.close(descriptor)
