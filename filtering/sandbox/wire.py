"""Plain values as lines of JSON between the sandbox of a program and that of its tests, and nothing else.

None, booleans, numbers, texts, bytes, and lists, tuples, sets and dicts of these keep their type; of a class derived
from one of them it is the base. A built-in type is its name. Any other object stays where it is, and a number stands
for it. Neither side evaluates or unpickles what it reads.
"""

import builtins
import json
import os
from collections.abc import Callable
from typing import Any

MAX_LINE = 8 * 2**20  # bytes
PLAIN_INT = 2**63  # from here on an int travels as hexadecimal: decimal takes quadratic time
CONTAINERS: dict[str, type[tuple] | type[set] | type[frozenset]] = {"tuple": tuple, "set": set, "frozenset": frozenset}
TYPES = {name: kind for name, kind in vars(builtins).items() if isinstance(kind, type)}


def encoded(value: Any, number_of: Callable[[Any], int]) -> Any:
    """Return a value as JSON has it; number_of: what stands for an object, TypeError where nothing may."""
    if value is None:
        return None
    if isinstance(value, bool | float | str):
        return value
    if isinstance(value, int):
        return int(value) if -PLAIN_INT < value < PLAIN_INT else {"int": hex(value)}
    if isinstance(value, list):
        return [encoded(item, number_of) for item in value]
    for name, kind in CONTAINERS.items():
        if isinstance(value, kind):
            return {name: [encoded(item, number_of) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[encoded(key, number_of), encoded(item, number_of)] for key, item in value.items()]}
    if isinstance(value, bytes | bytearray):
        return {"bytes": value.hex()}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, type) and TYPES.get(value.__name__) == value:
        return {"type": value.__name__}
    return {"object": number_of(value)}


def decoded(value: Any, object_of: Callable[[int], Any]) -> Any:
    """Return what `encoded` gave; ValueError or TypeError for anything else. object_of: the object of a number."""
    if isinstance(value, list):
        return [decoded(item, object_of) for item in value]
    if not isinstance(value, dict):
        return value
    [(name, held)] = value.items()
    if name in CONTAINERS:
        return CONTAINERS[name](decoded(item, object_of) for item in held)
    if name == "dict":
        return {decoded(key, object_of): decoded(item, object_of) for key, item in held}
    if name == "int":
        return int(held, 16)
    if name == "bytes":
        return bytes.fromhex(held)
    if name == "complex":
        return complex(*held)
    if name == "type":
        return TYPES[held]
    if name == "object" and type(held) is int:
        return object_of(held)
    raise ValueError(f"{name!a:.20} is no kind of value")


class Line:
    """One end of a socket that carries JSON, a line each way in turn."""

    def __init__(self, number: int) -> None:
        self.number, self._read = number, b""

    def write(self, message: dict[str, Any]) -> None:
        """Send a message; ValueError for one that is too long."""
        line = json.dumps(message).encode() + b"\n"
        if len(line) > MAX_LINE:
            raise ValueError(f"a value of {len(line):,} bytes is too long")
        while line:
            line = line[os.write(self.number, line) :]

    def read(self) -> dict[str, Any]:
        """Return the next message; EOFError where the other side has ended or sends no line."""
        chunks, size = [self._read], len(self._read)
        while b"\n" not in chunks[-1]:
            chunks.append(os.read(self.number, 2**20))
            size += len(chunks[-1])
            if not chunks[-1] or size > MAX_LINE:
                raise EOFError
        line, _, self._read = b"".join(chunks).partition(b"\n")
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError("a message is an object")
        return message
