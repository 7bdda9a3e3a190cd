"""Whether safetensors files are whole and hold finite numbers, without torch: about 1 GB/s.

The format has no checksum: a file cut short, or weights that overflowed when they were converted, would only show as an
engine that does not start, or as answers without sense.
"""

import json
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import CorruptArtifact

MAX_HEADER = 100_000_000  # bytes; the library's own limit
BLOCK = 1 << 24  # bytes looked at in one step
# dtype: bits of a number, and for floats the exponent's bits, which are all set in NaN and infinity
BITS: dict[str, int] = dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8)
BITS |= {"I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64}
EXPONENT = {"F16": 0x7C00, "BF16": 0x7F80, "F32": 0x7F800000, "F64": 0x7FF0000000000000}


def check_tensors(path: Path) -> set[str]:
    """The names of the tensors in a safetensors file.

    CorruptArtifact unless its header describes exactly the bytes that follow it, and every float is finite.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER):
            raise CorruptArtifact(f"{path} has {size:,} bytes, too few for a safetensors file: fetch it anew")
        tensors = read_header(path, file.read(length))
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1]["data_offsets"]):
        start, stop = tensor["data_offsets"]
        if start != end or stop - start != prod(tensor["shape"]) * BITS[tensor["dtype"]] // 8:
            raise CorruptArtifact(f"{path}: tensor {name} does not lie where its header says: fetch the file anew")
        end = stop
    if 8 + length + end != size:
        raise CorruptArtifact(f"{path} has {size:,} bytes, its header means {8 + length + end:,}: fetch it anew")
    for name, tensor in tensors.items():
        if tensor["dtype"] in EXPONENT and not is_finite(path, 8 + length, tensor):
            raise CorruptArtifact(f"{path}: tensor {name} holds NaN or infinity: fetch it anew, or use another model")
    return set(tensors)


def read_header(path: Path, content: bytes) -> dict[str, Any]:
    """{tensor: {dtype, shape, data_offsets}} of a file."""
    try:
        tensors = json.loads(content)
        tensors.pop("__metadata__", None)
        for tensor in tensors.values():
            start, stop = tensor["data_offsets"]
            if not all(isinstance(number, int) and number >= 0 for number in (start, stop, *tensor["shape"])):
                raise ValueError(f"{tensor} has a place or shape that is none")
            if tensor["dtype"] not in BITS:
                raise ValueError(f"the dtype {tensor['dtype']} is not known here")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptArtifact(f"{path} has no readable header ({error}): fetch it anew") from error
    return tensors


def is_finite(path: Path, offset: int, tensor: dict[str, Any]) -> bool:
    """Whether no number of a float tensor has all bits of its exponent set."""
    width = BITS[tensor["dtype"]]
    mask = np.array(EXPONENT[tensor["dtype"]], dtype=f"<u{width // 8}")
    start, stop = tensor["data_offsets"]
    with open(path, "rb") as file:
        file.seek(offset + start)
        for place in range(start, stop, BLOCK):
            numbers = np.frombuffer(file.read(min(BLOCK, stop - place)), dtype=mask.dtype)
            if ((numbers & mask) == mask).any():
                return False
    return True
