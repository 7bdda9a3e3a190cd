"""What can go wrong, as exit codes.

0 done, 2 bad configuration, 3 refuses to resume, 4 bad input, 5 corrupt or unexpected artifact, 6 no training rows,
7 training diverged, 8 not enough memory, 74 I/O error, 75 try again, 130/143 interrupted, 141 nobody
reads its output. A launcher retries 75 only.
"""

import atexit
import contextlib
import errno
import io
import os
import select
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

# A second signal ends a process at once, unless it is the first one's echo: `timeout` signals make, which passes the
# signal on, and the whole group too.
SAME_REQUEST_SECONDS = 1.0


class PipelineError(ValueError):
    """Something the user can fix. The message names what was found, what was expected and the next command."""

    exit_code = 1


class ConfigError(PipelineError):
    """A setting, a name or the environment is wrong."""

    exit_code = 2


class FingerprintMismatch(PipelineError):
    """An artifact was made with other settings; mixing is refused."""

    exit_code = 3


class BadInput(PipelineError):
    """More input rows are unusable than the limit allows."""

    exit_code = 4


class CorruptArtifact(PipelineError):
    """A file of a run is damaged, missing or unexpected."""

    exit_code = 5


class NoTrainingRows(PipelineError):
    """The filter kept nothing: the paper's "failed to converge"."""

    exit_code = 6


class TrainingDiverged(PipelineError):
    """Training produced something that must not be published."""

    exit_code = 7


class NotEnoughMemory(PipelineError):
    """The model, its cache or its optimizer do not fit."""

    exit_code = 8


class TryAgain(PipelineError):
    """Held by somebody else, or an engine died; the same command may succeed."""

    exit_code = 75


class Interrupted(BaseException):
    """SIGINT or SIGTERM. Not an Exception, so no handler of a library can swallow it."""

    def __init__(self, signum: int):
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


def stage_main(main: Callable[[list[str]], None]) -> NoReturn:
    """Run a stage's `main(argv)` and exit with the code of what happened; messages go to stderr, one paragraph."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a character ends no stage
    try:
        main(sys.argv[1:])
    except PipelineError as error:
        _exit(error.exit_code, str(error))
    except Interrupted as interruption:
        _exit(interruption.exit_code, f"{interruption}: stopped; run the same command again to go on.")
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            _end(141)
        _exit(74, describe_os_error(error))
    except MemoryError:
        _exit(8, "This process ran out of memory: lower the shard or batch size, or use a smaller model.")
    _end(0)


def describe_os_error(error: OSError) -> str:
    """One sentence with the path, the reason, and the bytes that are free where it happened."""
    path = Path(os.fspath(error.filename)) if isinstance(error.filename, str | os.PathLike) else Path.cwd()
    folder = next(p for p in (path, *path.absolute().parents) if p.is_dir())
    free = shutil.disk_usage(folder).free
    hint = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "fix the cause"
    return (
        f"{path}: {error.strerror or error} (errno {error.errno}, {free:,} bytes free in {folder}); nothing published "
        f"was damaged: {hint}, then run the same command again."
    )


def _reader_is_gone() -> bool:
    """Whether what reads standard output, `head` or a pager, has seen enough; a stage's work is not done then."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # errors alone, which are always told
    return bool(poll.poll(0))


def _interrupt(signum: int, frame: FrameType | None) -> None:
    received = time.monotonic()

    def again(signum: int, frame: FrameType | None) -> None:
        if time.monotonic() - received > SAME_REQUEST_SECONDS:
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, again)
    raise Interrupted(signum)


def _exit(code: int, message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr, flush=True)
    _end(code)


def _end(code: int) -> NoReturn:
    """End the process without taking the interpreter apart: threads of Arrow can abort that (docs/decisions.md), and a
    stage that had done its work would seem to have crashed. Exit handlers, an experiment tracker's say, run first."""
    try:
        atexit._run_exitfuncs()
    except Exception:  # as at an ordinary end: shown, and no reason to end otherwise
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    os._exit(code)
