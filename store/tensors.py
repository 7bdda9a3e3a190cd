"""What is in safetensors files, from their headers alone: milliseconds for a model of any size.

A file is the length of its header in 8 bytes, the header in JSON, and the tensors' bytes without a gap.
"""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path

from store.errors import CorruptArtifact

MAX_HEADER = 100_000_000  # bytes; the library's own limit
# dtype: bits of a number
BITS: dict[str, int] = dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8)
BITS |= {"I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64}

INDEX = "model.safetensors.index.json"  # of a model in several files


@dataclass(frozen=True)
class Tensor:
    """start, stop: its bytes in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)


def weight_files(folder: Path) -> list[Path]:
    """Return a model folder's safetensors files: with an index those it names, as loaders take them (Mistral's folders
    hold consolidated.safetensors beside them), else all."""
    found = sorted(folder.glob("*.safetensors"))
    try:
        named = set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return found  # what an index has to be is checked where a base model is (training.base_model)
    return [path for path in found if path.name in named or path.name == "model.safetensors"]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """{name: tensor} of a file; CorruptArtifact unless its header describes exactly the bytes that follow it."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER):
            raise CorruptArtifact(f"{path} has {size:,} bytes, too few for a safetensors file: download it again")
        tensors = parse_header(path, file.read(length), 8 + length)
    end = 8 + length
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].stop)):
        if tensor.start != end or tensor.stop - end != tensor.size * BITS[tensor.dtype] // 8:
            raise CorruptArtifact(f"{path}: tensor {name} does not lie where its header says: download the file again")
        end = tensor.stop
    if end != size:
        raise CorruptArtifact(f"{path} has {size:,} bytes, its header means {end:,}: download it again")
    return tensors


def parse_header(path: Path, content: bytes, offset: int) -> dict[str, Tensor]:
    """{name: tensor} of a header whose tensors' bytes begin at `offset`."""
    found = {}
    try:
        header = json.loads(content)
        header.pop("__metadata__", None)
        for name, entry in header.items():
            start, stop = entry["data_offsets"]
            if not all(isinstance(number, int) and number >= 0 for number in (start, stop, *entry["shape"])):
                raise ValueError(f"{entry} has a place or shape that is none")
            if entry["dtype"] not in BITS:
                raise ValueError(f"the dtype {entry['dtype']} is not known here")
            found[name] = Tensor(entry["dtype"], tuple(entry["shape"]), offset + start, offset + stop)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptArtifact(f"{path} has no readable header ({error}): download it again") from error
    return found
