"""Where everything of a run lies, how a run may be called, and who works on it.

runs/<run>/config.yaml, questions/, base_model.json
runs/<run>/iter_<n>/checkpoint/, initial_answers/, corrections/, judgements/, trajectories/, sft/, metrics.json, stats/,
logs/
"""

import contextlib
import difflib
import errno
import fcntl
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from store.errors import ConfigError, TryAgain
from store.filesystem import lacking, require_storage
from store.publish import make_folder

RUNS = Path("runs")
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MAX_ITERATION = 99
PLAN = "_plan.json"  # in an iteration's folder: what generation will make of it
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


@dataclass(frozen=True)
class Iteration:
    """The folder of M_n: its checkpoint, and all it generated."""

    number: int
    dir: Path

    @property
    def checkpoint(self) -> Path:
        return self.dir / "checkpoint"

    @property
    def initial_answers(self) -> Path:
        return self.dir / "initial_answers"

    @property
    def corrections(self) -> Path:
        return self.dir / "corrections"

    def corrections_of(self, round: int) -> Path:
        """Round 1 is corrections/; what evaluation corrects again is corrections_02/, corrections_03/, ..."""
        return self.corrections if round == 1 else self.dir / f"corrections_{round:02d}"

    @property
    def further_corrections(self) -> list[Path]:
        """The folders of rounds 2 and on that are there."""
        return sorted(self.dir.glob("corrections_[0-9][0-9]"))

    @property
    def judgements(self) -> Path:
        """What a judge said of the texts, for the reward `judge`."""
        return self.dir / "judgements"

    @property
    def trajectories(self) -> Path:
        return self.dir / "trajectories"

    @property
    def rounds(self) -> Path:
        return self.dir / "rounds"

    @property
    def sft(self) -> Path:
        return self.dir / "sft"

    @property
    def preferences(self) -> Path:
        return self.dir / "preferences"

    @property
    def metrics(self) -> Path:
        return self.dir / "metrics.json"

    @property
    def stats(self) -> Path:
        """Seconds, tokens and memory per stage; these and `logs` are all that differs between equal runs."""
        return self.dir / "stats"

    @property
    def logs(self) -> Path:
        return self.dir / "logs"


def is_run_name(name: str) -> bool:
    """Tell whether a run can be called so."""
    return RUN_NAME.fullmatch(name) is not None and ".." not in name


@dataclass(frozen=True)
class Run:
    """A run by its name; the name is checked before anything is read or written under it."""

    name: str
    root: Path = RUNS

    def __post_init__(self) -> None:
        if not is_run_name(self.name):
            raise ConfigError(
                f"run={self.name[:120]!r} cannot be a run's name: use 1 to 100 of A-Z a-z 0-9 . _ - and begin with a "
                "letter or digit, e.g. RUN=first-try"
            )

    @property
    def dir(self) -> Path:
        return self.root / self.name

    @property
    def config(self) -> Path:
        return self.dir / "config.yaml"

    @property
    def questions(self) -> Path:
        return self.dir / "questions"

    @property
    def base_model(self) -> Path:
        return self.dir / "base_model.json"

    def iteration(self, number: int) -> Iteration:
        return Iteration(number, self.dir / f"iter_{number:02d}")

    def iterations(self) -> list[Iteration]:
        """Return the iterations on disk, in order."""
        found = (re.fullmatch(r"iter_(\d\d)", entry.name) for entry in self.dir.glob("iter_*"))
        return [self.iteration(n) for n in sorted(int(match[1]) for match in found if match)]


def stage_arguments(argv: list[str], stage: str, *keys: str) -> dict[str, str]:
    """`run=demo iteration=2` as a dict; an unknown or missing key is a ConfigError that names the nearest."""
    usage = f"python -m {stage} " + " ".join(f"{key}=..." for key in keys)
    values: dict[str, str] = {}
    for argument in argv:
        key, equals, value = argument.partition("=")
        if not equals or key not in keys:
            near = difflib.get_close_matches(key, keys, n=1)
            hint = f"; did you mean {near[0]}=?" if near else "."
            raise ConfigError(f"{argument!r} is not an argument of this stage{hint} Usage: {usage}")
        values[key] = value
    missing = [key for key in keys if key not in values]
    if missing:
        raise ConfigError(f"{', '.join(missing)} missing. Usage: {usage}")
    return values


def iteration_number(text: str) -> int:
    """Return an iteration's number from the command line, 0 (the base model M_0) to 99."""
    if not text.isdecimal() or int(text) > MAX_ITERATION:
        raise ConfigError(f"iteration={text!r} was given, a whole number from 0 to {MAX_ITERATION} was expected")
    return int(text)


@contextlib.contextmanager
def locked(run: Run) -> Iterator[None]:
    """Hold the run: one command at a time works on it. The kernel releases it when the holder dies, however it dies.

    ConfigError for a folder or a file system that cannot hold a run.
    """
    try:
        make_folder(run.dir)
        descriptor = os.open(run.dir / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        raise ConfigError(
            f"{error.filename} cannot hold a run ({error.strerror}): a folder this user may write to was expected. "
            "Make it one, or start in another folder"
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            raise TryAgain(f"{run.dir} is held by {holder}; wait for it or stop it, then run this again") from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            raise lacking(run.dir, f"it has no locks (flock: {error.strerror})") from None
        require_storage(run.dir)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
