"""The files that hold a run's settings, read with care, since people open them in editors; `load` is how a stage gets
them."""

from pathlib import Path
from typing import Any

import yaml

from conf.identity import DEFAULTED, EXECUTION, same_but_seed
from conf.schema import Config
from conf.validation import validate
from store.errors import ConfigError, CorruptArtifact, FingerprintMismatch
from store.fingerprint import digest_bytes, flatten
from store.run import Run
from store.shards import read_bytes

FORMAT = 2  # of a run's files and columns: to be raised when older runs cannot be read (CHANGELOG.md says what changed)


def read_settings(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file of a run; ConfigError when there is none."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing: run `make iterate RUN={path.parent.name}` first") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not YAML ({error}): restore it, or start another run with RUN=<name>") from None
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path} holds a {type(values).__name__}, settings were expected: restore it, or start another run"
        )
    return values


def check_format(path: Path, values: dict[str, Any]) -> None:
    """Raise FingerprintMismatch for settings that another version's format of runs goes with."""
    found = values.get("format", 1)
    if found != FORMAT:
        raise FingerprintMismatch(
            f"{path} is of format {found}, this version reads and writes format {FORMAT}: finish the run with the "
            f"version that made it, or start another with `make iterate LIKE={path.parent.name} RUN=<new name>`"
        )


def execution_file(run: Run) -> Path:
    """Where the settings that may differ between restarts are kept."""
    return run.dir / "_execution.yaml"


def load(run: Run, rescored: bool = False) -> Config:
    """Return the settings of a run, from its folder. ConfigError for a run that scores another's samples, unless
    `rescored`: only who makes no samples, models or questions can do with one."""
    values, execution = read_settings(run.config), read_settings(execution_file(run))
    check_format(run.config, values)
    verify_checksum(run)
    del values["format"], values["overrides"], values["digest"]
    for key in EXECUTION:  # nothing else is taken from there
        *parents, leaf = key.split(".")
        source: Any = execution
        target: Any = values
        for parent in parents:
            source, target = source.get(parent), target.get(parent)
        if not isinstance(source, dict) or leaf not in source:
            if key in DEFAULTED:
                continue
            raise ConfigError(f"{execution_file(run)} lacks {key}: `python -m conf run={run.name}` writes it again")
        target[leaf] = source[leaf]
    config = validate(values)
    if config.samples_of and not rescored:
        raise ConfigError(
            f"{run.dir} scores the samples of {config.samples_of} and has none of its own: "
            f"`make rescore FROM={config.samples_of} RUN={run.name}` is all that can be done with it"
        )
    return config


def samples_run(run: Run) -> Run:
    """Return the run whose questions, models and samples `run` has: its own, or those of the run that it scores
    again."""
    name = read_settings(run.config).get("samples_of")
    return Run(name, run.root) if isinstance(name, str) else run


def taught_run(run: Run) -> Run:
    """Return the run whose rows have trained the models that answer in `run`: its own, or those of another."""
    source = samples_run(run)
    return Run(load(source).models_of or source.name, run.root)


def experiment_of(run: Run) -> str:
    """Return a digest that is equal for runs that differ in their seed alone: another run that one names, of which it
    has the samples, the models or the pass rates, counts as the experiment that it is."""
    settings = flatten(load(run, rescored=True).model_dump(mode="json"))
    for key in ("samples_of", "models_of", "data.pass_rate.run"):
        if settings.get(key) and (other := Run(settings[key], run.root)).config.exists():
            settings[key] = experiment_of(other)
    return same_but_seed(settings)


def with_checksum(text: bytes) -> bytes:
    """`text` with its sha256 as a last line: config.yaml is written once, and every bit of it counts."""
    return text + f"digest: {digest_bytes(text)}\n".encode()


def verify_checksum(run: Run) -> None:
    """CorruptArtifact when a run's config.yaml is not as it was written."""
    text = read_bytes(run.config)
    if with_checksum(text.rpartition(b"digest: ")[0]) != text:
        raise CorruptArtifact(
            f"{run.config} was edited: its content does not match the digest in its last line. Put it back "
            f"(`python -m conf run={run.name}` tells which settings differ), or start another run with RUN=<name>"
        )
