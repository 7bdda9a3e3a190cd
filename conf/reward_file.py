"""Checks of `reward`, and the function of the reward `python`: reward.function=FILE.py:FUNCTION, found from the folder
in which commands run. Nothing of the file is run here.
"""

import re
import symtable
from collections.abc import Collection, Mapping
from pathlib import Path

from store.errors import ConfigError

OWN = "python"  # the reward that is a function of the user's
UNIT_TESTS = "unit_tests"  # the one that runs a program with the tests of its question
WEIGHTED = "weighted"  # the one that is the weighted mean of others
TESTS = ({"test_list"}, {"test", "entry_point"})  # the columns they are in, as MBPP and HumanEval call them
FUNCTION = re.compile(r"(.+\.py):([A-Za-z_]\w*)")


def check_reward(rewards: Collection[str], function: str | None, weights: Mapping[str, float] | None = None) -> None:
    """Raise ConfigError for the reward `python` without a function, `weighted` without weights, and for either without
    its reward."""
    if (WEIGHTED in rewards) != bool(weights) or WEIGHTED in (weights or ()):
        raise ConfigError(
            f"reward.weights={dict(weights or {})} with the rewards {', '.join(rewards)}: reward={WEIGHTED} has the "
            "weights of others, as reward.weights={token_f1:1,numeric:0.5}, and no other reward has any"
        )
    if function is None and OWN in rewards:
        raise ConfigError(f"reward={OWN} needs a function of yours: give reward.function=my_reward.py:score")
    if function is not None and OWN not in rewards:
        raise ConfigError(f"reward.function={function} is not used by {', '.join(rewards)}: give reward={OWN} with it")
    if function is not None and not FUNCTION.fullmatch(function):
        raise ConfigError(f"reward.function={function!r}: FILE.py:FUNCTION was expected, as my_reward.py:score")


def check_tests(rewards: Collection[str], more: Collection[str]) -> None:
    """Raise ConfigError for the reward `unit_tests` of questions that bring no tests. more: their further columns."""
    if UNIT_TESTS in rewards and not any(columns.issubset(more) for columns in TESTS):
        raise ConfigError(
            f"reward={UNIT_TESTS} runs programs with the tests of their questions, and these have none: take data=mbpp "
            "or data=humaneval, or of a file of yours its column of tests, data.columns.more=[test_list]"
        )


def read_function(function: str) -> tuple[str, str, str]:
    """Return the file, its content and the function's name; ConfigError where one of them is not there."""
    found = FUNCTION.fullmatch(function)
    assert found, function  # check_reward has looked
    file, name = found.groups()
    try:
        content = Path(file).read_bytes().decode("utf-8-sig")
        table = symtable.symtable(content, file, "exec")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(
            f"reward.function={function}: {file} cannot be read ({why}); paths count from {Path.cwd()}: put the file "
            "there, or give its path, and run the same command again"
        ) from None
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file} is no Python: {error}. Fix it, and run the same command again") from None
    names = [symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()]
    if name not in names:
        raise ConfigError(
            f"reward.function={function}: {file} has no {name}, it has {', '.join(sorted(names)) or 'nothing'}: give "
            "one of them, or write it, and run the same command again"
        )
    return file, content, name
