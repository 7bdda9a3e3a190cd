"""A worker process of filtering: does to shards what its parent asks for, until that closes the connection or dies.

    python -m filtering.worker <file descriptor of the connection> <process id of the parent>

What a shard raises is sent back and raised there.
"""

import os
import pickle
import signal
import sys
import traceback
from multiprocessing.connection import Connection

from data.errors import Interrupted
from data.processes import die_with_parent


def main(arguments: list[str]) -> None:
    descriptor, parent = map(int, arguments)
    die_with_parent()
    signal.signal(signal.SIGTERM, _interrupt)
    code = 0
    try:
        if os.getppid() == parent:  # or it has died already
            serve(Connection(descriptor))
    except (EOFError, ConnectionError):
        pass
    except Interrupted as interruption:
        code = interruption.exit_code
    os._exit(code)  # threads of Arrow can abort an ordinary end (docs/decisions.md)


def serve(connection: Connection) -> None:
    """Answer each (method, arguments) with (True, what it returned) or (False, the exception it raised)."""
    shards = connection.recv()
    while True:
        method, arguments = connection.recv()
        try:
            answer = True, getattr(shards, method)(*arguments)
        except Exception as error:
            answer = False, portable(error)
        connection.send(answer)


def portable(error: Exception) -> Exception:
    """The exception with its traceback as a note; another one in its place where it cannot be sent."""
    told = "".join(traceback.format_exception(error))
    error.add_note(f"In a worker process:\n{told}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(told)
    return error


def _interrupt(signum: int, frame) -> None:
    raise Interrupted(signum)  # so that no temporary file is left


if __name__ == "__main__":
    main(sys.argv[1:])
