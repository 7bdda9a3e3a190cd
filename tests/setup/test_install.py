"""Setting up: one sentence and exit 2 for what the machine lacks, nothing at all when it is done, never half done.

The script runs in a folder of its own, with a lock of one tiny package and a PATH of chosen programs.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from tests import nvidia_smi

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "requirements" / "install.sh"
TOOLS = "awk cat df dirname env flock g++ gcc grep mkdir openssl rm sed sha256sum tail tee uname"
PYTHON = Path(sys.executable).resolve()
BASH = shutil.which("bash")
PACKAGE = "tiny==1.0"


class Clone:
    """A clone with only the set-up in it, on a machine that has TOOLS, Python, and what the test adds."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "bin"
        for name in ("requirements", "bin", "wheels"):
            (folder / name).mkdir()
        shutil.copy(SCRIPT, folder / "requirements")
        shutil.copytree(ROOT / "store", folder / "store", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "conf", folder / "conf", ignore=shutil.ignore_patterns("__pycache__"))
        for tool in TOOLS.split():  # as scripts: writing over a link would write over the machine's own program
            self.program(tool, f'exec {shutil.which(tool)} "$@"')
        self.program("python3.11", f'exec {PYTHON} "$@"')
        self.wheel("tiny")
        self.lock(PACKAGE)

    def file(self, package: str, version: str = "1.0") -> Path:
        return self.folder / "wheels" / f"{package}-{version}-py3-none-any.whl"

    def wheel(self, package: str, version: str = "1.0") -> None:
        """Make a package, where pip looks for wheels."""
        with zipfile.ZipFile(self.file(package, version), "w") as wheel:
            wheel.writestr(f"{package}.py", "")
            about = f"{package}-{version}.dist-info"
            wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
            wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{about}/RECORD", "")

    def program(self, name: str, script: str) -> None:
        """Put a program of this name on PATH."""
        path = self.bin / name
        assert not path.is_symlink(), path
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def pretend(self, code: str) -> None:
        """Run `code` before what looks at the machine."""
        run = f"{code}; import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_module(sys.argv[0], run_name='__main__')"
        self.program(
            "python3.11",
            f'''case "$*" in "-m store."*) shift; exec {PYTHON} -c "{run}" "$@";; esac
exec {PYTHON} "$@"''',
        )

    def hashed(self, pin: str) -> str:
        """A requirement as a lock has it, with the hash of the wheel, or of none where there is no wheel."""
        file = self.file(*pin.split("=="))
        return (
            f"{pin} \\\n    --hash=sha256:{hashlib.sha256(file.read_bytes() if file.exists() else b'').hexdigest()}\n"
        )

    def lock(self, *packages: str) -> None:
        for name in ("cpu", "cuda", "cpu-linux-aarch64", "cpu-darwin-arm64"):
            (self.folder / "requirements" / f"{name}.txt").write_text("".join(map(self.hashed, packages)))
        (self.folder / "requirements" / "ray.txt").write_text("# added to either\n" + self.hashed("ray==1.0"))

    def command(self, **environment: str) -> dict:
        environment = {"PATH": str(self.bin), "HOME": str(self.folder), "PIP_CONFIG_FILE": os.devnull} | environment
        environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.folder / "wheels")}
        return {"args": [BASH, self.folder / "requirements" / "install.sh"], "env": environment, "text": True}

    def install(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        command = self.command(**environment)
        command["args"] += arguments
        return subprocess.run(**command, capture_output=True, check=False)

    @property
    def stamp(self) -> Path:
        return self.folder / ".venv" / ".installed"


@pytest.fixture
def clone(tmp_path) -> Clone:
    return Clone(tmp_path)


def refuses(done: subprocess.CompletedProcess, *words: str) -> None:
    """Exit 2 and one line that has these words."""
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("setup: ") and done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words), done.stderr


def has_all_but_room(clone: Clone, accelerator: str, **environment: str) -> None:
    """All that is asked for is there, but for the room on disk, which is asked for last."""
    clone.program("df", "echo Avail; echo 1500")
    refuses(clone.install(**environment), "1 GiB free", f"the {accelerator} environment")


def test_no_python(clone):
    (clone.bin / "python3.11").unlink()
    refuses(clone.install(), "Python 3.11 or 3.12 is needed", "no python3 was found", "apt-get install")


def test_another_python(clone):
    (clone.bin / "python3.11").unlink()
    clone.program("python3", "echo 3.9")
    refuses(clone.install(), "Python 3.11 or 3.12 is needed", "python3 is 3.9")


def test_python_without_venv(clone):
    clone.program("python3.11", f'case "$*" in *ensurepip*) exit 1;; esac; exec {PYTHON} "$@"')
    refuses(clone.install(), "lacks venv", "apt-get install python3.", "-venv")


NO_LIBNUMA = """
import ctypes
def CDLL(name):
    raise OSError(name)
ctypes.CDLL = CDLL"""
NO_HEADER = "import sysconfig; sysconfig.get_path = lambda *_: '/nowhere'"
NOEXEC = "import os, types; os.statvfs = lambda path: types.SimpleNamespace(f_flag=os.ST_NOEXEC)"


def test_no_libnuma(clone):
    clone.pretend(NO_LIBNUMA)
    refuses(clone.install(ACCELERATOR="cpu"), "libnuma.so.1", "apt-get install libnuma1")


def test_fresh_debian_lacks_compiler_and_header(clone):
    """Both packages in one sentence, before anything is downloaded."""
    clone.pretend(NO_HEADER)
    for tool in ("gcc", "g++"):
        (clone.bin / tool).unlink()
    dev = "python{}.{}-dev".format(*sys.version_info)
    refuses(clone.install(), "a C++ compiler and Python.h", f"apt-get install g++ {dev}", "dnf install gcc-c++")
    refuses(clone.install(ACCELERATOR="cuda"), "a C compiler and Python.h", f"apt-get install gcc libc6-dev {dev}")
    assert not (clone.folder / ".venv").exists()


def test_no_openssl_program(clone):
    (clone.bin / "openssl").unlink()
    refuses(clone.install(), "the program openssl", "apt-get install openssl")
    has_all_but_room(clone, "cuda", ACCELERATOR="cuda")


@pytest.mark.parametrize(("said", "words"), [("glibc 2.28", "has glibc 2.28"), ("musl", "has another C library")])
def test_old_c_library(clone, said, words):
    clone.pretend(f"import os; os.confstr = lambda name: '{said}'")
    refuses(clone.install(), "glibc 2.31 or newer is needed", words, "RHEL 9")


def test_temporary_folder_that_loads_no_programs(clone):
    clone.pretend(NOEXEC)
    refuses(clone.install(TMPDIR=str(clone.folder)), str(clone.folder), "mounted noexec", "set TMPDIR")


@pytest.mark.parametrize("accelerator", [None, "cuda"])
def test_old_driver(clone, accelerator):
    nvidia_smi.install(clone.bin, nvidia_smi.OLD)
    given = {"ACCELERATOR": accelerator} if accelerator else {}
    refuses(clone.install(**given), "CUDA 13", "driver 580 or newer", "this machine has 550.54.15", "cuda-compat-13-0",
            "ACCELERATOR=cpu")  # fmt: skip
    assert not (clone.folder / ".venv").exists()
    has_all_but_room(clone, "cpu", ACCELERATOR="cpu")


def test_cuda_compat_makes_up_for_an_old_driver(clone):
    nvidia_smi.install(clone.bin, nvidia_smi.OLD)
    clone.pretend("import ctypes; ctypes.CDLL = lambda name: __import__('types').SimpleNamespace("
                  "cuDriverGetVersion=lambda v: setattr(v._obj, 'value', 13000))")  # fmt: skip
    has_all_but_room(clone, "cuda")


def test_space_in_the_path(tmp_path):
    (tmp_path / "a clone").mkdir()
    refuses(Clone(tmp_path / "a clone").install(), "a clone' has a space", "move this folder")


def test_other_programs_python_settings_do_not_reach_us(clone):
    (clone.folder / "others").mkdir()
    (clone.folder / "others" / "ensurepip.py").write_text("raise ImportError")
    done = clone.install(PYTHONSAFEPATH="1", PYTHONPATH=str(clone.folder / "others"), PYTHONHOME="/nowhere")
    assert done.returncode == 0, done.stderr


def test_too_little_disk(clone):
    clone.program("df", "echo Avail; echo 1500")
    refuses(clone.install(), "1 GiB free", "6 GiB")
    refuses(clone.install(ACCELERATOR="cuda"), "1 GiB free", "25 GiB")


@pytest.mark.parametrize(
    ("machine", "accelerator", "lock"),
    [("Linux aarch64", "cpu", "cpu-linux-aarch64"), ("Linux aarch64", "cuda", "cuda"),
     ("Darwin arm64", "cpu", "cpu-darwin-arm64")],
)  # fmt: skip
def test_a_machine_on_which_nothing_was_run_goes_on_by_one_word(clone, machine, accelerator, lock):
    clone.program("uname", f"echo {machine}")
    refuses(clone.install(ACCELERATOR=accelerator), f"requirements/{lock}.txt", machine, "UNTESTED=1")
    assert f"from requirements/{lock}.txt" in clone.install(ACCELERATOR=accelerator, UNTESTED="1").stdout


@pytest.mark.parametrize(("machine", "accelerator"), [("Darwin arm64", "cuda"), ("Darwin x86_64", "cpu")])
def test_a_machine_without_a_lock(clone, machine, accelerator):
    clone.program("uname", f"echo {machine}")
    refuses(clone.install(ACCELERATOR=accelerator, UNTESTED="1"), "Linux on x86_64", f"{machine} with {accelerator}")


def test_uv_installs_where_there_is_one(clone):
    clone.program("uv", 'echo "$*" >>uv.log; shift 4; exec .venv/bin/python -m pip install "$@"')
    assert clone.install().returncode == 0
    said = (clone.folder / "uv.log").read_text()
    assert (
        said == "pip install --python .venv/bin/python --no-deps --require-hashes --requirement requirements/cpu.txt\n"
    )
    clone.lock(PACKAGE, "elsewhere==2.0")
    refuses(clone.install(), "elsewhere==2.0")


UV_SAYS = """error: Failed to download `tiny==1.0`
  cause: Hash mismatch for `tiny==1.0`

         Expected:
           sha256:1"""
OLDER_UV_SAYS = """  × Failed to download `tiny==1.0`
  ╰─▶ Hash mismatch for `tiny==1.0`

      Expected:
        sha256:1"""


@pytest.mark.parametrize("uv", [None, UV_SAYS, OLDER_UV_SAYS])
def test_a_file_of_another_hash_is_refused_by_name(clone, uv):
    if uv:
        clone.program("uv", f"cat >&2 <<'END'\n{uv}\nEND\nexit 1")
    clone.wheel("other")
    clone.lock("other==1.0", PACKAGE)
    with zipfile.ZipFile(clone.file("tiny"), "a") as wheel:
        wheel.writestr("more.py", "")
    refuses(clone.install(), "setup: tiny==1.0 came with another sha256 than the lock has", "install.log")
    assert not clone.stamp.exists()


def test_a_lock_without_a_hash_is_refused(clone):
    (clone.folder / "requirements" / "cpu.txt").write_text(f"{PACKAGE}\n")
    refuses(clone.install(), "Hashes are required", "install.log")


def test_torchs_cpu_build_comes_alone_first_and_by_its_hash(clone):
    clone.wheel("torch", "2.0+cpu")
    clone.lock("torch==2.0+cpu", PACKAGE)
    done = clone.install()
    assert done.returncode == 0 and "installing 2 packages" in done.stdout
    assert (clone.folder / ".venv" / "torch.txt").read_text() == clone.hashed("torch==2.0+cpu")
    assert (clone.folder / ".venv" / "pins.txt").read_text() == f"torch==2.0+cpu\n{PACKAGE}\n"
    clone.wheel("torch", "3.0+cpu")
    clone.lock("torch==3.0+cpu", PACKAGE)
    with zipfile.ZipFile(clone.file("torch", "3.0+cpu"), "a") as wheel:
        wheel.writestr("more.py", "")
    refuses(clone.install(), "setup: torch==3.0+cpu came with another sha256")


def test_an_unknown_accelerator(clone):
    refuses(clone.install(ACCELERATOR="tpu"), "ACCELERATOR=tpu", "cpu or cuda")


def test_no_gpu_means_cpu_and_nvidia_smi_decides(clone):
    clone.program("nvidia-smi", "exit 9")  # as where the driver does not run
    has_all_but_room(clone, "cpu")
    nvidia_smi.install(clone.bin, nvidia_smi.ONE)
    has_all_but_room(clone, "cuda")


def test_no_network_names_the_package_and_is_not_taken_for_done(clone):
    clone.lock(PACKAGE, "elsewhere==2.0")
    refuses(clone.install(), "elsewhere==2.0", "network")
    assert not clone.stamp.exists()
    clone.lock(PACKAGE)
    assert clone.install().returncode == 0
    assert clone.stamp.exists()
    refuses(clone.install("ray"), "ray==1.0", "network")
    assert clone.install().stdout == "", "Ray is not needed"


def test_once_done_it_does_nothing_and_needs_nothing(clone):
    both = [subprocess.Popen(**clone.command(), stdout=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("installing" in words for words in said) == 1, "two at once: one installs, the other waits"
    assert (clone.folder / ".venv" / ".accelerator").read_text() == "cpu\n"
    (clone.bin / "python3.11").unlink()
    clone.program("df", "echo Avail; echo 0")
    started = time.monotonic()
    done = clone.install()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert time.monotonic() - started < 1  # 0.02 s on an idle machine


def test_another_accelerator_is_installed_without_ray_and_the_choice_kept(clone):
    clone.wheel("ray")
    clone.lock(PACKAGE)
    both = clone.install("ray")
    assert (both.returncode, both.stderr, both.stdout.count("\n")) == (0, "", 3)
    before = clone.stamp.read_text()
    assert "installing" in clone.install(ACCELERATOR="cuda").stdout
    assert clone.stamp.read_text() != before
    assert clone.install().stdout == ""
    assert (clone.folder / ".venv" / ".accelerator").read_text() == "cuda\n"
    assert clone.install("ray").stdout == "setup: adding Ray to .venv ...\n"
    assert clone.install("ray").stdout == clone.install().stdout == ""


def test_an_argument_that_is_none(clone):
    refuses(clone.install("rya"), "'rya' was given", "ray, doctor or nothing")
