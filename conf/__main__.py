"""Compose the configuration of a run, check it, and write it once.

    python -m conf run=demo strategy=FIE sampling.num_initial=5     writes runs/demo/config.yaml, or compares with it
    python -m conf run=other like=demo seed=1                       the settings of demo, but for the seed

The overrides given first are kept with the run, so later commands need only its name. Once the run has samples, a
setting that differs from its own is refused with the difference; those in `_execution.yaml` (workers, batch sizes) may
change.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from conf.identity import DEFAULTED, EXECUTION, SCORING, without
from conf.overrides import as_meant, is_read, key_of, merge, whole, without_replaced_presets
from conf.reward_file import read_function
from conf.schema import Config
from conf.stored import FORMAT, check_format, execution_file, load, read_settings, verify_checksum, with_checksum
from conf.tracking import require_tracker
from conf.validation import grid_advice, known_keys, nearest, validate
from store.errors import ConfigError, stage_main
from store.fingerprint import difference, refuse_difference
from store.publish import write_atomic
from store.run import Run, locked
from store.stage import ANOTHER_RUN, archive_superseded

FOLDER = Path(__file__).parent
# Sections whose keys are a library's own names, or named by the user.
OPEN = ("engine.args", "engine.throughput", "sampling.args", "training.args", "training.throughput", "peft.args",
        "launcher.args", "data.files", "data.splits", "model.template_args", "judge.args",
        "judge.template_args")  # fmt: skip
OVERRIDE = re.compile(r"[+~]{0,2}(?!hydra\b)[A-Za-z_][\w./@-]*(=.*)?", re.DOTALL)  # Hydra's own keys do nothing here
CREDENTIALS = re.compile(
    r"(?i)://[^/\s]*:[^/\s]*@|(^|[._+])(\w+_)?(token|secret|password|api_?key)=.|\b(hf_|sk-)\w{16}"
)
RESOLVER = re.compile(r"\$\{[^}]*:")  # ${oc.env:NAME}; ${another.setting} stays possible


USAGE = "Usage: python -m conf run=<name> [like=<name>] [key=value ...]"
WITHOUT_PRESET = {
    "model": " A model without a preset: model.path=<folder or hub id>.",
    "data": " A file of yours: `python -m data file=<file>` prints the words that read it.",
}


def main(argv: list[str]) -> None:
    for argument in argv:
        if not OVERRIDE.fullmatch(argument):
            raise ConfigError(f"{argument!r} is not a setting. {USAGE}")
    given = [as_meant(argument) for argument in argv if key_of(argument) not in ("run", "like")]
    names, likes = ([a.partition("=")[2] for a in argv if key_of(a) == key] for key in ("run", "like"))
    if len(names) != 1 or len(likes) > 1:
        raise ConfigError(f"exactly one run=<name> is needed, and at most one like=<name>. {USAGE}")
    run = Run(names[0])
    refuse_credentials(given)
    begun_with = stored_overrides(run)
    if nothing_sampled(run):
        begun_with = without_replaced_presets(begun_with, given)
    for name in likes:
        begun_with = merge(inherited(Run(name), begun_with + given), begun_with)
    with_stored = merge(begun_with, given)
    values = composed(run, with_stored)
    config = validate(values)
    if config.reward.function:
        read_function(config.reward.function)
    require_tracker(config.tracking.kind)
    if config.samples_of:
        refuse_other_samples(Run(config.samples_of), config)
    if config.models_of:
        refuse_other_models(Run(config.models_of), config)
    with locked(run):
        write(run, config.model_dump(mode="json"), with_stored)


def composed(run: Run, overrides: list[str]) -> dict[str, Any]:
    """Return the plain values Hydra composes; ConfigError with the nearest key for what it refuses."""
    try:
        with initialize_config_dir(str(FOLDER.resolve()), version_base="1.3"):
            config = compose("config", overrides=whole([*overrides, f"run={run.name}"]))
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(str(error), overrides)) from None
    assert isinstance(values, dict)  # config.yaml is a mapping
    return {str(key): value for key, value in values.items()}


def explain(message: str, overrides: list[str]) -> str:
    """Hydra's words, with the nearest key or preset of ours for the override they are about."""
    if missing := re.search(r"Missing mandatory value.*full_key: (\S+)", message, re.DOTALL):
        return f"{missing[1]} has no value of its own: give {missing[1]}=..."
    keys = [override.lstrip("+~").partition("=") for override in overrides]
    groups = {
        folder.name: sorted(p.stem for p in folder.glob("*.yaml")) for folder in FOLDER.iterdir() if folder.is_dir()
    }
    for key, _, value in keys:
        if key in groups and value not in groups[key]:
            value = value.strip("'\"")
            if advice := grid_advice(key, value):
                return f"{key}={value} is not a preset{advice}"
            presets = f"{nearest(value, groups[key]) or '.'} There are: {', '.join(groups[key])}"
            return f"{key}={value} is not a preset{presets}.{WITHOUT_PRESET.get(key, '')}"
    if unread := [override for override in overrides if not is_read(override)]:
        key, _, value = unread[0].partition("=")
        return (
            f"{key}={value} cannot be read ({message.strip().splitlines()[0]}): put quotes around the texts in it, "
            f"inside those of ARGS, as in ARGS='{key}=[\"a=b\"]'"
        )
    known = known_keys(Config)
    for override, (key, _, _) in zip(overrides, keys, strict=True):
        if not re.fullmatch(r"[\w.@/]+", key):
            return f"{override!r} is not a setting; the form is key=value, e.g. sampling.num_initial=5"
        if key not in known and key not in groups and not key.startswith(tuple(f"{k}." for k in OPEN)):
            return f"{key} is not a setting{nearest(key, known + list(groups))}"
    return message.strip()


def inherited(run: Run, given: list[str]) -> list[str]:
    """Return the overrides of another run, without those of a section for which a preset is given: they belong to its
    own."""
    if not run.config.exists():
        raise ConfigError(f"like={run.name}: {run.config} is missing; `make status` lists the runs there are")
    verify_checksum(run)
    return without_replaced_presets(stored_overrides(run), given)


def nothing_sampled(run: Run) -> bool:
    """Return whether no stage has published a table of an iteration: questions and the base model are made again at
    little cost, samples are not."""
    return not any(run.dir.glob("iter_*/*/*.parquet"))


def refuse_other_samples(source: Run, config: Config) -> None:
    """Raise FingerprintMismatch where a run that scores another's samples says that they were sampled otherwise."""
    free = "reward, filter, compat and strategy.filter"
    advice = f"A run with samples_of={source.name} may differ from it in {free}, in nothing that decides samples."
    theirs, ours = (without(each.model_dump(mode="json"), (*EXECUTION, *SCORING)) for each in (load(source), config))
    refuse_difference(str(source.dir), theirs, ours, advice)


def refuse_other_models(source: Run, config: Config) -> None:
    """Raise ConfigError where a run that evaluates another's models names one that has none of its own,
    FingerprintMismatch where it says that they are of another model."""
    theirs = load(source)
    if theirs.models_of:
        raise ConfigError(f"models_of={source.name}: its models are those of {theirs.models_of}, name that run")
    stated = [{"model": each.model.model_dump(mode="json")} for each in (theirs, config)]
    there, here = (without(model, ["model.template_args"]) for model in stated)
    refuse_difference(str(source.dir), there, here, f"A run with models_of={source.name} has its model.")


def stored_overrides(run: Run) -> list[str]:
    """Return the overrides in the run's config.yaml; none for a new run."""
    if not run.config.exists():
        return []
    overrides = read_settings(run.config).get("overrides")
    if not isinstance(overrides, list) or not all(isinstance(override, str) for override in overrides):
        raise ConfigError(f"{run.config} has no list of overrides: restore it, or start another run with RUN=<name>")
    return overrides


def write(run: Run, values: dict[str, Any], overrides: list[str]) -> None:
    """Publish config.yaml once, refuse a different one once anything was made, and renew the execution settings. Call
    it with the run's lock held."""
    execution: dict[str, Any] = {}
    for key in EXECUTION:
        *parents, leaf = key.split(".")
        source = values
        for parent in parents:
            source = source.get(parent, {})
        if leaf in source or key not in DEFAULTED:
            target = execution
            for parent in parents:
                target = target.setdefault(parent, {})
            target[leaf] = source.pop(leaf)
    text = yaml.safe_dump(
        {"format": FORMAT} | values | {"overrides": overrides}, sort_keys=False, allow_unicode=True, width=110
    )
    content = with_checksum(text.encode())
    if run.config.exists():
        old = read_settings(run.config)
        check_format(run.config, old)
        written = {key: value for key, value in old.items() if key not in ("format", "overrides", "digest")}
        if not nothing_sampled(run):
            refuse_difference(str(run.config), written, values, ANOTHER_RUN)
        verify_checksum(run)
        if written != values:
            changed = "\n  ".join(difference(written, values))
            print(f"{run.config}: it has no samples yet, so its settings change:\n  {changed}", flush=True)
            archive_what_differs(run, written, values)
            write_atomic(run.config, content, replace=True)
    else:
        write_atomic(run.config, content)
    write_atomic(execution_file(run), yaml.safe_dump(execution, sort_keys=False).encode(), replace=True)


def archive_what_differs(run: Run, written: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Move aside what a run without samples made from settings that change: its questions, the record of its base
    model, and the plan of an iteration that has not begun."""
    made = {"data": run.questions, "model": run.base_model}
    stale = [path for key, path in made.items() if path.exists() and written.get(key) != values.get(key)]
    for path in [*stale, *sorted(run.dir.glob("iter_*"))]:
        print(f"{path}: made from the earlier settings, moved to {archive_superseded(path).name}", flush=True)


def refuse_credentials(overrides: list[str]) -> None:
    """Raise ConfigError for an override that looks like a secret, or could fetch one: overrides are kept on disk."""
    for override in overrides:
        if CREDENTIALS.search(override):
            key = override.partition("=")[0]
            raise ConfigError(
                f"{key}=... looks like a credential; give it in the environment, settings are kept on disk"
            )
        if RESOLVER.search(override):
            raise ConfigError(
                f"{override} would be filled in from elsewhere, as from the environment, and settings are kept: "
                "give the value itself"
            )


if __name__ == "__main__":
    stage_main(main)
