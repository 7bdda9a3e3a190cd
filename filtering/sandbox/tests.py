"""The process in which the tests of a task run: the program is elsewhere, and its functions are called over a socket.

Reads {"program", "setup", "tests", "names"} from standard input; writes to standard output `r` once both sandboxes are
there, then for each test 1 where it passes and 0 where it does not. names: what the tests take from the program. setup:
what runs before the tests, here.
"""

import json
import os
from typing import Any

from filtering.sandbox.limits import VERDICT_BYTES, set_limits, silence
from filtering.sandbox.wire import Line, decoded, encoded


class Failed(Exception):
    """The program raised an exception, or has ended."""


class Peer:
    """The process of the program."""

    def __init__(self, number: int) -> None:
        self._line = Line(number)
        self.replied()

    def ask(self, what: str, value: Any) -> Any:
        """Return what the program gives; Failed where it gives nothing."""
        self._line.write({what: encoded(value, number_of)})
        return self.replied()

    def replied(self) -> Any:
        message = self._line.read()
        if "value" not in message:
            raise Failed(message.get("error"))
        return decoded(message["value"], lambda number: Remote(self, number))


class Remote:
    """An object of the program's, a function mostly. It can be called, its attributes read and set, and it can be
    handed back; it is equal to nothing, and neither true nor false: only plain values are."""

    __slots__ = ("_number", "_peer")

    def __init__(self, peer: Peer, number: int) -> None:
        object.__setattr__(self, "_peer", peer)
        object.__setattr__(self, "_number", number)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._peer.ask("call", [self, list(args), kwargs])

    def __getattr__(self, name: str) -> Any:
        return self._peer.ask("get", [self, name])

    def __setattr__(self, name: str, value: Any) -> None:
        self._peer.ask("set", [self, name, value])

    def __eq__(self, other: object) -> bool:
        raise TypeError("an object of the program's is no plain value")

    def __bool__(self) -> bool:
        raise TypeError("an object of the program's is no plain value")


def number_of(value: Any) -> int:
    """Return the number of an object of the program's; TypeError for one of the tests' own."""
    if not isinstance(value, Remote):
        raise TypeError(f"a {type(value).__name__} cannot be given to the program")
    return object.__getattribute__(value, "_number")


class Namespace(dict):
    """The global names of the tests; `names` are the program's."""

    def __init__(self, peer: Peer, names: set[str]) -> None:
        super().__init__(__name__="tests")
        self._peer, self._names = peer, names

    def __missing__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)  # then it is a builtin one, or none
        return self._peer.ask("name", name)


def main(number: int) -> None:
    """Write the verdicts."""
    set_limits(RLIMIT_FSIZE=VERDICT_BYTES)
    with open(0, encoding="utf-8", closefd=False) as file:
        asked = json.load(file)
    verdicts = os.dup(1)
    peer = Peer(number)
    silence()  # what tests print is no verdict
    os.write(verdicts, b"r")
    if any("random" in test for test in asked["tests"]):
        import random  # a third of the time that a start takes

        random.seed(0)  # tests that draw their inputs draw the same ones
    names = set(asked["names"])
    namespace = Namespace(peer, names)
    peer.ask("load", asked["program"])
    exec(asked["setup"], namespace)
    for name in names:
        namespace.pop(name, None)  # what the setup defines of these is the program's to define
    for test in asked["tests"]:
        try:
            exec(compile(test, "test", "exec", dont_inherit=True), namespace)
            passed = True
        except BaseException:
            passed = False
        os.write(verdicts, b"1" if passed else b"0")
