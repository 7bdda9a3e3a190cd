"""Model folders that nobody should load: each is refused by name before an engine starts, and no code of it is run."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import conf.__main__
import data.__main__
import training.base_model.__main__
from faults.children import Ended, run
from faults.stages import RUN, Bench, generate, settings
from faults.tally import PROMISED, SILENT, STOPPED, Tally

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple:
        return os.system, (f"touch '{self.canary}'",)


def change_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def with_numbers(path: Path, number: str) -> None:
    """Put a number that is none among the weights (float32 in the tiny model)."""
    import numpy as np

    content = bytearray(path.read_bytes())
    content[-400:-396] = np.float32(number).tobytes()
    path.write_bytes(content)


def with_header(path: Path, change: Callable[[dict], None]) -> None:
    """Rewrite the header of a safetensors file."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    change(header)
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + content[8 + length :])


def with_code(folder: Path, file: str, canary: Path) -> None:
    """Write a configuration that asks for code of its own, which would make the canary."""
    (folder / "evil.py").write_text(f"open({str(canary)!r}, 'w')\n")
    change_json(folder / file, auto_map={"AutoModel": "evil.Model", "AutoTokenizer": ["evil.Tokenizer", None]})


def overlap(header: dict) -> None:
    """Let two tensors share their bytes."""
    first, second = [tensor for name, tensor in header.items() if name != "__metadata__"][:2]
    second["data_offsets"] = first["data_offsets"]


def unknown_kind(header: dict) -> None:
    """Let a tensor have a dtype that no library knows."""
    next(tensor for name, tensor in header.items() if name != "__metadata__")["dtype"] = "X9"


# what is done to a sound folder (second argument: the file that must never appear), and the file the refusal must name
FOLDERS: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "no configuration": (lambda f, c: (f / "config.json").unlink(), "config.json"),
    "configuration is no JSON": (lambda f, c: (f / "config.json").write_text("{"), "config.json"),
    "configuration nested without end": (lambda f, c: (f / "config.json").write_text("[" * 10**6), "config.json"),
    "no tokenizer": (lambda f, c: (f / "tokenizer.json").unlink(), "tokenizer.json"),
    "tokenizer is none": (lambda f, c: (f / "tokenizer.json").write_text("{}"), "tokenizer.json"),
    "no chat template": (lambda f, c: (f / "chat_template.jinja").unlink(), "chat_template.jinja"),
    "no weights": (lambda f, c: (f / WEIGHTS).unlink(), WEIGHTS),
    "a part of the index is missing": (
        lambda f, c: (f / INDEX).write_text('{"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}'),
        "model-2.safetensors",
    ),
    "a stale part beside the weights": (lambda f, c: shutil.copy(f / WEIGHTS, f / "model-2.safetensors"), "model-2"),
    "weights cut short": (lambda f, c: os.truncate(f / WEIGHTS, 200_000), WEIGHTS),
    "weights of zero bytes": (lambda f, c: os.truncate(f / WEIGHTS, 0), WEIGHTS),
    "a header of 2^63 bytes": (lambda f, c: (f / WEIGHTS).write_bytes(b"\xff" * 7 + b"\x7f" + b"{}"), WEIGHTS),
    "tensors that overlap": (lambda f, c: with_header(f / WEIGHTS, overlap), WEIGHTS),
    "a tensor of an unknown kind": (lambda f, c: with_header(f / WEIGHTS, unknown_kind), WEIGHTS),
    "NaN among the weights": (lambda f, c: with_numbers(f / WEIGHTS, "nan"), WEIGHTS),
    "infinity among the weights": (lambda f, c: with_numbers(f / WEIGHTS, "-inf"), WEIGHTS),
    "a pickle for weights": (
        lambda f, c: (f / WEIGHTS).rename(f / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(c))),
        "pytorch_model.bin",
    ),
    "a pickle beside the weights": (
        lambda f, c: (f / "training_args.bin").write_bytes(pickle.dumps(Payload(c))),
        "training_args.bin",
    ),
    "a pickle called safetensors": (lambda f, c: (f / WEIGHTS).write_bytes(pickle.dumps(Payload(c))), WEIGHTS),
    "code for the model": (lambda f, c: with_code(f, "config.json", c), "evil.py"),
    "code for the tokenizer": (lambda f, c: with_code(f, "tokenizer_config.json", c), "evil.py"),
    "code from another repository": (
        lambda f, c: change_json(f / "config.json", auto_map={"AutoModel": "evil/repository--evil.Model"}),
        "config.json",
    ),
    "a link out of the folder": (lambda f, c: (f / "vocab.json").symlink_to("/etc/passwd"), "vocab.json"),
    "a link to nothing": (lambda f, c: (f / "vocab.json").symlink_to("nowhere"), "vocab.json"),
    "a pipe": (lambda f, c: os.mkfifo(f / "vocab.json"), "vocab.json"),
    "a template that reaches for the system": (
        lambda f, c: (f / "chat_template.jinja").write_text(
            "{{ cycler.__init__.__globals__.os.system('touch " + str(c) + "') }}{{ messages }}"
        ),
        "chat template",
    ),
    "a template that does not end": (
        lambda f, c: (f / "chat_template.jinja").write_text("{% for i in range(10**12) %}x{% endfor %}"),
        "chat template",
    ),
    "a template with an error": (lambda f, c: (f / "chat_template.jinja").write_text("{% if %}"), "chat template"),
}


def hostile_folders(bench: Bench, every: int = 1) -> Tally:
    """Return a run with each of the folders (one in `every`) for M_0, up to generation: refused with 2 or 5, the file
    named, no canary."""
    tally = Tally("hostile model folders")
    canary = bench.scratch / "canary"
    for name, (spoil, told) in list(FOLDERS.items())[::every]:
        folder, place = bench.scratch / "hostile", bench.scratch / "hostile-run"
        for path in (folder, place):
            shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(bench.scratch / "model", folder)
        place.mkdir()
        spoil(folder, canary)
        ended = begin(bench, place)
        outcome = PROMISED if ended.code in (2, 5) and told in ended.said else STOPPED if ended.code else SILENT
        tally.add(SILENT if canary.exists() else outcome, f"{name}: {ended}")
        canary.unlink(missing_ok=True)
    return tally


def begin(bench: Bench, place: Path) -> Ended:
    """Run the stages of a new run on the hostile folder, until one is refused."""
    for command, argv in (
        (conf.__main__.main, settings(bench.scratch, "hostile")),
        (data.__main__.main, []),
        (training.base_model.__main__.main, []),
        (generate, ["iteration=0"]),
    ):
        ended = run(command, [f"run={RUN}", *argv], place)
        if ended.code:
            break
    return ended
