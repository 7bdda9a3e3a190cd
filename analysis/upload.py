"""Copy what a run has finished to a bucket, a hub or another disk, as files that are read there as they are here.

    python -m analysis.upload run=demo to=s3://bucket/demo      any URL of fsspec: s3://, gs://, hf://datasets/me/demo, file://

Hashes the run first. Beside the copies it keeps SHA256SUMS, which `sha256sum -c` takes, and which says what is there:
the same command again copies what is missing or was rebuilt. Credentials come from the environment.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from analysis import verify
from store.checkpoints import CARD, RECORD, read_record
from store.errors import ConfigError, PipelineError, TryAgain, stage_main
from store.fingerprint import digest_file
from store.run import Run, stage_arguments
from store.shards import MANIFEST, read_manifest

SUMS = "SHA256SUMS"


def main(argv: list[str]) -> None:
    arguments = stage_arguments(argv, "analysis.upload", "run", "to")
    run, url = Run(arguments["run"]), arguments["to"]
    verify.main([f"run={run.name}"])
    try:
        copied, there = push(run, *open_url(url))
    except (PipelineError, OSError):
        raise
    except Exception as error:  # every file system has errors of its own
        raise TryAgain(f"{url}: {type(error).__name__}: {error}; run the same command again to go on") from error
    print(f"{run.dir}: {copied:,} files copied to {url}, {there:,} were there", flush=True)


def open_url(url: str) -> tuple[Any, str]:
    """(fsspec file system, folder in it); ConfigError for a URL that no installed file system takes."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"to={url}: {error}; a URL such as s3://bucket/folder was expected") from None


def push(run: Run, target: Any, folder: str) -> tuple[int, int]:
    """Copy every finished part of `run` to `folder` of the fsspec file system `target`.

    Returns how many files were copied and how many were there. A part counts as copied once SHA256SUMS names its
    files; OSError when the copy of a file has another size.
    """
    sums, copied, there = read_sums(target, folder), 0, 0
    for part in finished_parts(run):
        found = {str(path.relative_to(run.dir)): digest_file(path) for path in part if path.exists()}
        missing = [name for name in found if sums.get(name) != found[name] or not is_there(run, target, folder, name)]
        copied, there = copied + len(missing), there + len(found) - len(missing)
        if missing:
            if sums.keys() & missing:  # what is about to be replaced is no longer what they say
                sums = {name: value for name, value in sums.items() if name not in missing}
                write_sums(target, folder, sums)
            for name in missing:
                target.makedirs(f"{folder}/{name}".rpartition("/")[0], exist_ok=True)
                target.put_file(str(run.dir / name), f"{folder}/{name}")
                if not is_there(run, target, folder, name):
                    raise OSError(f"the copy of {run.dir / name} in {folder} has another size")
            sums |= found
            write_sums(target, folder, sums)
    return copied, there


def finished_parts(run: Run) -> Iterator[list[Path]]:
    """Yield the files of every finished part, in the order the parts are made; what sums a part up comes last. Cards
    and what a run has not come to may be missing."""
    yield [run.config]
    yield table(run.questions)
    yield [run.base_model]
    for iteration in run.iterations():
        record = read_record(iteration.checkpoint / RECORD)
        if record is not None:
            files = [] if record.alias_of else list(record.files)
            yield [iteration.checkpoint / name for name in [*files, CARD, RECORD]]
        for path in sorted(iteration.dir.glob(f"[!.]*/{MANIFEST}")):
            yield table(path.parent)
        yield [iteration.metrics]


def table(folder: Path) -> list[Path]:
    """Return the files of a table's folder; none where it is not finished."""
    manifest = read_manifest(folder)
    if manifest is None:
        return []
    return [folder / name for name in [*manifest.shards, *manifest.extra.get("reports", {}), CARD, MANIFEST]]


def is_there(run: Run, target: Any, folder: str, name: str) -> bool:
    """Whether the copy of a file has its size."""
    path = f"{folder}/{name}"
    return target.exists(path) and target.size(path) == (run.dir / name).stat().st_size


def read_sums(target: Any, folder: str) -> dict[str, str]:
    """{file: sha256} of what has been copied."""
    path = f"{folder}/{SUMS}"
    if not target.exists(path):
        return {}
    pairs = (line.split("  ", 1) for line in target.cat_file(path).decode().splitlines())
    return {name: sha256 for sha256, name in pairs}


def write_sums(target: Any, folder: str, sums: dict[str, str]) -> None:
    lines = [f"{sha256}  {name}\n" for name, sha256 in sorted(sums.items())]
    target.makedirs(folder, exist_ok=True)
    target.pipe_file(f"{folder}/{SUMS}", "".join(lines).encode())


if __name__ == "__main__":
    stage_main(main)
