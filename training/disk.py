"""Failed writes of libraries, as the errors of the operating system that they were."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError


@contextlib.contextmanager
def os_errors(folder: Path) -> Iterator[None]:
    """Everything inside writes below `folder`: what safetensors, torch and copies raise when they cannot becomes an
    OSError about `folder`, so that the stage ends with exit code 74, the path and the bytes that are free."""
    try:
        yield
    except OSError as error:  # a failed copy names its source
        raise OSError(error.errno, error.strerror, str(folder)) from error
    except (SafetensorError, RuntimeError) as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number:
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(folder)) from error
        if "inline_container" in str(error):  # torch's writer keeps the reason to itself
            raise OSError(errno.EIO, "torch could not write its state, the disk may be full", str(folder)) from error
        raise
