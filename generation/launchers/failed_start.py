"""Why an engine did not start, from what its worker wrote into its log: the one line that tells, and what to do.

An engine in a process of its own (vLLM's on a GPU) says why there, and its parent only that it failed, so the reason is
looked for in the log, which has both.
"""

import re
import signal
from pathlib import Path
from textwrap import shorten

PREFIX = re.compile(r"^\(\w+ pid=\d+\) (?:[A-Z]+ \S+ \S+ \[\S+\] )?")  # vLLM's, of its processes
HANG = re.compile(r"^Timeout \(\d+:\d+:\d+", re.MULTILINE)  # the watchdog's
CORE_KILLED = re.compile(r"Failed core proc\(s\): \{.*: -9\b")
GENERIC = ("initialization failed", "See root cause above", "See stack trace")  # of whoever passes an error on
# What tells most, first: a compiler's own line, pydantic's line, the exception.
TELLING = (
    re.compile(r"^\S.*?\b(?:fatal )?error: (?P<cause>.*)"),
    re.compile(r"^Value error, (?P<cause>.*?)(?: \[type=.*)?$"),
    re.compile(r"^(?P<cause>(?:\w+\.)*\w*(?:Error|Exception|Refused)\b: .*)"),
)
REMEDIES = (  # the first whose pattern the cause has; exit codes as in store.errors
    ("memory", 8, "Lower engine.throughput.max_num_seqs or engine.args.max_model_len, start a run with a smaller "
     "MODEL=, or free memory"),
    ("max_model_len", 2, "Start another run with a smaller engine.args.max_model_len"),
    (r"Python\.h|[Cc]ompiler|CppCompile|g\+\+|cc1plus", 2, "Install a C++ compiler and Python's headers (Debian, "
     "Ubuntu: apt-get install g++ python3-dev)"),
    ("failed to map segment|Operation not permitted|Permission denied", 2, "Set TMPDIR to a folder whose files may be "
     "executed (`findmnt -T \"$TMPDIR\"` shows noexec where they may not)"),
    ("quantiz", 2, "Use a folder of the model that is not quantized"),
    ("", 2, "Change engine.args, engine.throughput or the model that it names"),
)  # fmt: skip


def explain(code: int, said: str, log: Path) -> tuple[int, str]:
    """Return the exit code and the message for a worker that ended with `code` before its engine had started."""
    if code == -signal.SIGKILL or (code == 1 and CORE_KILLED.search(said)):
        memory = REMEDIES[0]
        return memory[1], (
            f"the engine was killed while it started (signal SIGKILL), as the kernel does for lack of memory; its log "
            f"is {log}. {memory[2]}; then run the same command again"
        )
    if code < 0:
        return 2, (
            f"the engine ended by signal {signal.Signals(-code).name} while it started; its log is {log}. An engine "
            "that was built for another processor or driver ends so"
        )
    if HANG.search(said):
        return 75, (
            f"the engine did not start within launcher.hang_seconds; where it was, thread by thread, is at the end of "
            f"{log}. Run the same command again, with a larger launcher.hang_seconds if the machine is that slow"
        )
    cause = last_words(said)
    exit_code, remedy = next((number, text) for pattern, number, text in REMEDIES if re.search(pattern, cause))
    return exit_code, f"the engine did not start: {cause} ({log} has all of it). {remedy}"


def last_words(said: str) -> str:
    """Return the line of a log that tells most about why its process ended."""
    if HANG.search(said):
        return "no progress"
    lines = [PREFIX.sub("", line).strip() for line in said.splitlines()]
    for pattern in TELLING:
        found = [match["cause"] for line in lines if (match := pattern.match(line))]
        if found := [cause for cause in found if not any(words in cause for words in GENERIC)]:
            return shorten(found[0 if pattern is TELLING[0] else -1], 300, placeholder=" ...")
    return next((line for line in reversed(lines) if line), "it said nothing")
