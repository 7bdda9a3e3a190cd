"""The process in which a generated program runs. It is told what to do by the process of the tests, and gives values.

Everything here is at the mercy of the program: it holds no test, no expected value and nothing that a score depends on.
"""

from typing import Any

from filtering.sandbox.limits import set_limits, silence
from filtering.sandbox.wire import Line, decoded, encoded


def main(number: int) -> None:
    """Serve requests on a socket until it is closed: {"load": source}, {"name"}, {"call": [object, args, kwargs]},
    {"get": [object, name]} and {"set": [object, name, value]}. Replies are {"value"} or {"error"}."""
    silence()
    set_limits()
    line, namespace = Line(number), {"__name__": "program"}
    objects: list[Any] = []

    def number_of(value: Any) -> int:
        objects.append(value)
        return len(objects) - 1

    def done(asked: dict[str, Any]) -> Any:
        if "load" in asked:
            return exec(compile(asked["load"], "program", "exec", dont_inherit=True), namespace)
        if "name" in asked:
            return namespace[asked["name"]]
        if "call" in asked:
            target, args, kwargs = decoded(asked["call"], objects.__getitem__)
            return target(*args, **kwargs)
        if "get" in asked:
            return getattr(*decoded(asked["get"], objects.__getitem__))
        return setattr(*decoded(asked["set"], objects.__getitem__))

    line.write({"value": None})  # the sandbox is there
    while True:
        asked = line.read()
        try:
            reply = {"value": encoded(done(asked), number_of)}
        except BaseException as error:
            reply = {"error": type(error).__name__}
        try:
            line.write(reply)
        except ValueError as error:  # too long
            line.write({"error": type(error).__name__})
