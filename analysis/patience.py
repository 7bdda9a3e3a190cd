"""When a run has gone on long enough: once validation t2 has not risen for k iterations.

    python -m analysis.patience run=demo patience=1 max=10               say why it stops, or that it goes on
    python -m analysis.patience run=demo patience=1 max=10 print=last    the iteration up to which it should be made

Iteration n is the last one where t2 on validation of the best of M_0 .. M_n was reached k iterations ago or earlier, or
where n = max. Reads runs/demo/iter_*/metrics.json; what comes after the last iteration does not matter.
"""

from collections.abc import Mapping, Sequence

from analysis.iterations import finished_iterations, metrics_of
from store.errors import BadInput, ConfigError, stage_main
from store.run import MAX_ITERATION, Iteration, Run, stage_arguments


def main(argv: list[str]) -> None:
    names = ("run", "patience", "max", "print")
    arguments = stage_arguments(["print=", *argv], "analysis.patience", *names)
    patience, most = whole(arguments, "patience", 1), whole(arguments, "max", 0)
    if arguments["print"] not in ("", "last"):
        raise ConfigError(f"print={arguments['print']!r} was given, print=last or nothing was expected")
    t2 = validation_t2(Run(arguments["run"]))
    last = last_iteration(t2, patience, most)
    if arguments["print"]:
        print(len(t2) if last is None else last)
    else:
        print(describe(t2, patience, most), flush=True)


def whole(arguments: Mapping[str, str], name: str, least: int) -> int:
    """Return an argument as a number; ConfigError unless it is one from `least` to 99."""
    text = arguments[name]
    if not (text.isdecimal() and least <= int(text) <= MAX_ITERATION):
        raise ConfigError(f"{name}={text!r} was given, a whole number from {least} to {MAX_ITERATION} was expected")
    return int(text)


def validation_t2(run: Run) -> list[float]:
    """Return the share of correct corrections on validation of M_0, M_1, ..., up to the first that is not filtered."""
    return list(map(t2_of, finished_iterations(run)))


def t2_of(iteration: Iteration) -> float:
    """Return t2 on validation; BadInput where no pair of it is left."""
    t2 = metrics_of(iteration)["splits"]["validation"]["t2"]
    if t2 is None:
        raise BadInput(
            f"{iteration.metrics} has no pair of the split validation, so nothing tells when to stop: give a number of "
            "iterations, N=3 say, or start a run whose validation questions have room"
        )
    return float(t2)


def last_iteration(t2: Sequence[float], patience: int, most: int) -> int | None:
    """Return the first iteration after which to stop, None where that is yet to come. t2: of iteration 0 and on."""
    best = 0
    for number, figure in enumerate(t2):
        best = number if figure > t2[best] else best
        if number - best >= patience or number >= most:
            return number
    return None


def describe(t2: Sequence[float], patience: int, most: int) -> str:
    """Say why a run stops, or that it goes on, with the figures."""
    last = last_iteration(t2, patience, most)
    figures = ", ".join(f"{100 * figure:.1f}" for figure in t2[: None if last is None else last + 1])
    if last is None:
        return f"iteration {len(t2)} is next: validation t2 so far {figures or 'none'} %"
    if last >= most and last_iteration(t2, patience, most + 1) != last:
        return f"stopped after iteration {last}: no more than MAX={most} were asked for; validation t2 {figures} %"
    iterations = "1 iteration" if patience == 1 else f"{patience} iterations"
    return f"stopped after iteration {last}: validation t2 has not risen for {iterations}: {figures} %"


if __name__ == "__main__":
    stage_main(main)
