"""Settings as they are typed: key=value words, some of which Hydra's grammar would not read as people mean them."""

import os

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from store.run import is_run_name

TEMPLATE_ARGS = "model.template_args="
RUNS_BY_NAME = ("run", "samples_of", "models_of", "launcher.pool", "data.pass_rate.run")


def key_of(override: str) -> str:
    """Return the key of an override, without the signs that add or delete one."""
    return override.lstrip("+~").partition("=")[0]


def as_meant(override: str) -> str:
    """Return the override, its value quoted where Hydra cannot read it otherwise: a path with =, #, ~, a comma, a space
    or a letter outside ASCII. `~/` is the home folder. Lists and mappings are left to the user's own quotes."""
    key, _, value = override.partition("=")
    if value.startswith("~/"):
        value = os.path.expanduser(value)
        override = f"{key}={value}"
    if not value or value.startswith(("[", "{")) or is_read(override):
        return override
    quote = '"' if "'" in value else "'"
    quoted = f"{key}={quote}{value.replace(quote, chr(92) + quote)}{quote}"
    return quoted if is_read(quoted) else override


def each_as_meant(override: str) -> str:
    """Return an override of a sweep, whose value may be several, each quoted as `as_meant` does."""
    key, sign, values = override.partition("=")
    if is_read(override, several=True):
        return override
    return key + sign + ",".join(as_meant(f"{key}={value}").partition("=")[2] for value in values.split(","))


def is_read(override: str, several: bool = False) -> bool:
    """Tell whether Hydra's grammar takes an override, as one value unless `several`: "a,b" is two runs of a sweep."""
    try:
        read = OverridesParser.create().parse_override(override)
        return several or not read.is_sweep_override()
    except HydraException:
        return False


def merge(stored: list[str], given: list[str]) -> list[str]:
    """Return the overrides a run began with, each replaced by a given one for the same key, then what is new."""
    fresh = {override.partition("=")[0]: override for override in given}
    return [fresh.pop(old.partition("=")[0], old) for old in stored] + list(fresh.values())


def without_replaced_presets(stored: list[str], given: list[str]) -> list[str]:
    """Return the stored overrides without those of a section for which a preset is given."""
    presets = set(map(key_of, given))
    return [override for override in stored if key_of(override).partition(".")[0] not in presets]


def whole(overrides: list[str]) -> list[str]:
    """Return the overrides for Hydra, which merges a mapping into the preset's and refuses new keys: the arguments of a
    chat template are replaced. A run's name is a text, even where YAML would read 1, 1e3 or true."""
    found = []
    for override in overrides:
        if is_template_args(override):
            found += [f"~{TEMPLATE_ARGS.rstrip('=')}", f"+{override.lstrip('+')}"]
        elif names_a_run(override):
            found.append(override.replace("=", "='", 1) + "'")
        else:
            found.append(override)
    return found


def names_a_run(override: str) -> bool:
    """Tell whether the value of an override is the name of a run; null is that of none."""
    key, _, value = override.partition("=")
    return key.lstrip("+") in RUNS_BY_NAME and is_run_name(value) and (key == "run" or value != "null")


def any_key(override: str) -> str:
    """Return the override so that Hydra takes any keys in it where it is the arguments of a chat template: for a sweep,
    which hands it on to `whole` in each run."""
    return f"++{override.lstrip('+')}" if is_template_args(override) else override


def is_template_args(override: str) -> bool:
    """Tell whether an override gives a chat template its arguments, all at once."""
    return override.lstrip("+").startswith(TEMPLATE_ARGS)
