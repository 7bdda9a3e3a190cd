"""Whether safetensors files are whole and hold finite numbers, without torch: about 1 GB/s.

The format has no checksum: a file cut short, or weights that overflowed when they were converted, would only show as an
engine that does not start, or as answers without sense.
"""

from pathlib import Path

import numpy as np

from store.errors import CorruptArtifact
from store.tensors import BITS, Tensor, read_tensors

BLOCK = 1 << 24  # bytes looked at in one step
# dtype: the exponent's bits, which are all set in NaN and infinity
EXPONENT = {"F16": 0x7C00, "BF16": 0x7F80, "F32": 0x7F800000, "F64": 0x7FF0000000000000}


def check_tensors(path: Path) -> set[str]:
    """Return the names of the tensors in a safetensors file.

    CorruptArtifact unless its header describes exactly the bytes that follow it, and every float is finite.
    """
    tensors = read_tensors(path)
    for name, tensor in tensors.items():
        if tensor.dtype in EXPONENT and not is_finite(path, tensor):
            raise CorruptArtifact(
                f"{path}: tensor {name} holds NaN or infinity: download it again, or use another model"
            )
    return set(tensors)


def is_finite(path: Path, tensor: Tensor) -> bool:
    """Whether no number of a float tensor has all bits of its exponent set."""
    mask = np.array(EXPONENT[tensor.dtype], dtype=f"<u{BITS[tensor.dtype] // 8}")
    with open(path, "rb") as file:
        file.seek(tensor.start)
        for place in range(tensor.start, tensor.stop, BLOCK):
            numbers = np.frombuffer(file.read(min(BLOCK, tensor.stop - place)), dtype=mask.dtype)
            if ((numbers & mask) == mask).any():
                return False
    return True
