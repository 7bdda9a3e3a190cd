"""Some 150 programs that try to leave their sandbox, to harm the machine, or to pass tests without being right.

Each is bounded, so that it could do little even outside of a sandbox: at most 300 processes or threads, 2 GB, 100 MB of
output, connections to this machine alone. A program that does what it must not returns "escaped", which TESTS take for
a pass; what it returns otherwise passes none of them.

    python -m tests.filtering.sandbox.hostile        prints a table of them
"""

import os
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.conftest import ROOT

TESTS = [
    "assert f(3) == 'escaped'",
    "assert f(3) == 7919",
    "assert f([1, 2]) == ([104729], {'x': 1299709}) and f('a')",
    "assert f('a') and abs(f(0.5) - 15485863.25) < 1e-6",
]


def does(*lines: str) -> str:
    """A program whose function does something, and returns "escaped" if no exception keeps it from that."""
    body = "\n    ".join(line for each in lines for line in each.splitlines())
    return f"import os, sys\ndef f(x):\n    {body}\n    return 'escaped'\n"


def gives(value: str, before: str = "") -> str:
    """A program whose function returns something."""
    return f"{before}\ndef f(*args, **kwargs):\n    return {value}\n"


def libc(call: str) -> str:
    """A program that makes a call to the C library, which the kernel has to refuse for lack of a right (EPERM)."""
    made = f"ctypes.CDLL(None, use_errno=True).{call}"
    return does("import ctypes", f"assert {made} != -1 or ctypes.get_errno() != 1")


def to_all(content: bytes, times: int = 99) -> str:
    """A program that writes something to whatever is open, and gives nothing of use."""
    write = f"    try: os.write(number, {content!r} * {times})\n    except OSError: pass"
    return gives("0", f"import os\nfor number in range(64):\n{write}")


TRUE = "".join(
    f"    def __{name}__(self, *args): return {value}\n"
    for name, value in {
        "eq": "True", "ne": "False", "lt": "True", "le": "True", "gt": "True", "ge": "True", "bool": "True",
        "sub": "self", "rsub": "self", "abs": "self", "call": "self", "getitem": "self", "getattr": "self",
        "contains": "True", "hash": "hash(7919)",
    }.items()
)  # fmt: skip
SPIN = "import time\nwhile time.process_time() < 30: pass"

PROGRAMS = {
    "processes": [
        does("for _ in range(8): os.fork()"),
        does("import subprocess", "subprocess.run(['/bin/true'], check=True)"),
        does("import multiprocessing as m", "p = m.get_context('fork').Process(target=print)", "p.start()", "p.join()"),
        does("os.posix_spawn('/bin/true', ['true'], {})"),
        does("assert os.system('true') == 0"),
        does("import pty", "assert pty.fork()"),
        libc("vfork()"),
        does("assert os.popen('echo x').read() == 'x\\n'"),
    ],
    "threads": [
        does("import threading", "for _ in range(300): threading.Thread(target=print).start()"),
        does("import _thread", "_thread.start_new_thread(print, ())"),
        does("from concurrent.futures import ThreadPoolExecutor", "ThreadPoolExecutor(8).submit(print).result()"),
    ],
    "memory": [
        does("held = bytearray(2 * 10**9)"),
        does("held = []", "for _ in range(200): held.append(bytearray(10**7))"),
        does("text = 'x'", "while len(text) < 10**9: text += text"),
        does("held = {n: str(n) for n in range(8_000_000)}"),
        does("import mmap", "held = mmap.mmap(-1, 2 * 10**9)"),
        does("number = os.memfd_create('x')", "for _ in range(200): os.write(number, bytes(10**7))"),
        does("import ctypes", "assert ctypes.CDLL(None).shmget(0, 10**9, 0o1600) != -1"),
        does("held = (0,) * 250_000_000"),
        gives("'x' * 10**8"),
    ],
    "output": [
        does("for _ in range(100): print('x' * 10**6)", "return 0"),
        does("for _ in range(100): os.write(2, b'x' * 10**6)", "return 0"),
        to_all(b"x", 10**6),
        gives("0", "for _ in range(100): print('1' * 10**6, flush=True)"),
    ],
    "forged verdicts": [
        to_all(b"r1111", 1),
        to_all(b"1" * 20),
        gives("0", "import sys\nsys.stdout.write('r1111'); sys.stdout.flush(); sys.__stderr__.write('r1111')"),
        to_all(b'{"value": true}\n'),
        to_all(b'{"passed": [true]}\n'),
        to_all(b'{"value": {"object": 0}}\n'),
        to_all(b'{"value": {"eval": 1}}\n'),
        to_all(b"[", 100_000),
        to_all(b"\xff\x00\n"),
        gives("0", "print('OK'); print('4 passed'); print('Ran 4 tests in 0.1s')"),
    ],
    "ends before a test": [
        does("os._exit(0)"),
        does("sys.exit(0)"),
        does("raise SystemExit"),
        does("os.abort()"),
        does("import signal", "os.kill(os.getpid(), signal.SIGKILL)"),
        gives("0", "import atexit, os\natexit.register(os._exit, 0)\nraise SystemExit(0)"),
        gives("0", "import os\nos._exit(0)"),
        does("raise KeyboardInterrupt"),
        does("raise GeneratorExit"),
        does("raise type('Passed', (BaseException,), {})"),
    ],
    "equal to everything": [
        gives("Any()", f"class Any:\n{TRUE}"),
        gives("Any(1)", f"class Any(int):\n{TRUE}"),
        gives("Any('x')", f"class Any(str):\n{TRUE}"),
        gives("Any([1])", f"class Any(list):\n{TRUE}"),
        gives("Any({1: 1})", f"class Any(dict):\n{TRUE}"),
        gives("(Any(), Any())", f"class Any:\n{TRUE}"),
        gives("Any", f"class Meta(type):\n{TRUE}class Any(metaclass=Meta): pass"),
        gives("MagicMock()", "from unittest.mock import MagicMock"),
        gives("ANY", "from unittest.mock import ANY"),
        "class Any:\n" + TRUE + "f = Any()",
    ],
    "patches what grades": [
        gives("0", "import builtins\nbuiltins.AssertionError = builtins.abs = builtins.compile = lambda *a: 0"),
        gives("0", "import builtins\nbuiltins.exec = builtins.print"),
        gives("0", "import filtering.sandbox.wire as w\nw.encoded = lambda *a: {'tuple': [7919]}"),
        gives("0", "import filtering.sandbox.wire as w\nw.Line.write = lambda self, m: None"),
        gives("0", "import filtering.sandbox.program as p\np.encoded = lambda *a: {'object': 0}"),
        gives("0", "import json\njson.dumps = lambda *a: '{\"value\": true}'"),
        gives("0", "import filtering.sandbox.tests as t\nt.Remote.__eq__ = t.Remote.__bool__ = lambda *a: True"),
        gives("0", "import sys\nsys.settrace(lambda *a: None); sys.excepthook = print; sys.modules['json'] = None"),
    ],
    "looks for the tests": [
        gives("[o for o in gc.get_objects() if type(o) is str and 'assert' in o][:9]", "import gc"),
        gives("[frame.frame.f_locals.keys() for frame in inspect.stack()]", "import inspect"),
        gives("list(sys._current_frames().values())[0].f_back.f_locals['asked']", "import sys"),
        gives("sys._getframe(2).f_locals", "import sys"),
        gives("[sys.argv, sys.orig_argv, dict(os.environ)]", "import os, sys"),
        does("return ''.join(open(path).read() for path in ('/dev/stdin', '/dev/fd/0'))"),
        does("return [os.pread(number, 999, 0) for number in range(64)]"),
    ],
    "reads what is not its own": [
        does("open('/etc/passwd').read()"),
        does("open('/etc/shadow').read()"),
        does("open('/root/.bashrc').read()"),
        does("assert os.listdir('/home')"),
        does("open('{home}/canary').read()"),
        does("open('{repository}/README.md').read()"),
        does("assert os.environ.get('CANARY') or os.environ.get('HOME')"),
    ],
    "pokes at /proc, /sys and /dev": [
        does("open('/proc/self/environ').read()"),
        does("os.listdir('/proc/1/root')"),
        does("open('/proc/sysrq-trigger', 'w')"),
        does("open('/sys/kernel/uevent_helper')"),
        does("open('/dev/mem')"),
        does("open('/dev/kmsg', 'w')"),
        libc("unshare(0x20000)"),
    ],
    "writes files": [
        does("open('/stasc-x', 'w')"),
        does("open('/tmp/stasc-x', 'w')"),
        does("open('{home}/canary', 'a')"),
        does("open(os.__file__, 'a')"),
        does("os.chmod(sys.executable, os.stat(sys.executable).st_mode)"),
        does("os.symlink('/etc', '/stasc-x')"),
        does("os.mkdir('/usr/stasc-x')"),
        does("os.rename('/usr/bin', '/usr/bin')"),
        does("import tempfile", "tempfile.TemporaryFile()"),
        does("import filtering.sandbox.wire as w", "open(w.__file__, 'a')"),
        does("import shutil", "shutil.rmtree('{home}')"),
    ],
    "sockets": [
        does("import socket", "socket.create_connection(('127.0.0.1', {port}), 1)"),
        does("import socket", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))"),
        does("import socket", "socket.socket(socket.AF_UNIX).connect('/run/docker.sock')"),
        does("import socket", "socket.socketpair()"),
        does("import urllib.request", "urllib.request.urlopen('http://127.0.0.1:{port}/', timeout=1)"),
    ],
    "kills others": [
        does("os.kill(os.getppid(), 9)", "return 0"),
        does("os.kill(1, 9)", "return 0"),
        does("os.killpg(0, 9)"),
        does("os.kill({pid}, 9)"),
        does("os.kill({pid}, 19)"),
    ],
    "ctypes": [
        does("import ctypes", "ctypes.string_at(0)"),
        does("import ctypes", "ctypes.memset(id(None), 255, 64)"),
        libc("ptrace(16, {pid}, 0, 0)"),
        libc("process_vm_readv({pid}, 0, 0, 0, 0, 0)"),
        libc("unshare(0x10000000)"),
        libc("setns(3, 0)"),
        libc("syscall(321, 0, 0, 0)"),
        libc("syscall(425, 8, 0)"),
        libc("syscall(0x40000000 + 57)"),
        does("return ctypes.pythonapi.PyDict_SetItem(ctypes.py_object(int.__dict__), ctypes.py_object('__eq__'),\n"
             "    ctypes.py_object(lambda a, b: True))").replace("import os", "import ctypes, os"),
    ],
    "raises its rights": [
        does("import resource", "resource.setrlimit(resource.RLIMIT_AS, (2**40, 2**40))"),
        does("import resource", "resource.setrlimit(resource.RLIMIT_CPU, (99, 99))"),
        does("os.nice(-20)"),
        does("os.setuid(0)"),
        does("os.setgroups([0])"),
        does("os.chroot('/usr')"),
        does("os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"),
    ],
    "deep": [
        does("return f(x)"),
        does("sys.setrecursionlimit(10**7)", "return f(x)"),
        gives("deep", "deep = []\nfor _ in range(100_000): deep = [deep]"),
        "f = lambda x: " + "(" * 5000 + "1" + ")" * 5000,
        gives("loop", "loop = []\nloop.append(loop)"),
    ],
    "large": [
        gives("10**1_000_000"),
        gives("'9' * 10**7"),
        gives("[0] * 10**7"),
        gives("iter(int, 1)"),
        gives("{n: n for n in range(10**6)}"),
    ],
    "numbers": [
        gives("float('nan')"),
        gives("float('inf')"),
        gives("-0.0"),
        gives("complex('nan')"),
        gives("True"),
        gives("None"),
    ],
    "pickles": [
        gives("Evil()", "import os\nclass Evil:\n    def __reduce__(self): return os.system, ('touch {home}/x',)"),
        gives("pickle.dumps(print)", "import pickle"),
        gives("{'object': 0, 'tuple': [7919]}"),
        gives("type('X', (), {'__getstate__': lambda self: 1 / 0, '__repr__': lambda self: '7919'})()"),
    ],
    "reads standard input": [does("input()"), does("assert sys.stdin.read()"), does("assert os.read(0, 1)")],
    "waits": [
        does("import time", "time.sleep(600)"),
        does("import signal", "signal.sigwait([signal.SIGUSR1])"),
        does("import select", "select.select([], [], [], 600)"),
        does("import threading", "lock = threading.Lock()", "lock.acquire()", "lock.acquire(timeout=600)"),
    ],
    "loops": [
        does(SPIN),
        does("import signal", "for n in (2, 15, 24): signal.signal(n, signal.SIG_IGN)", SPIN),
        does("import re", "re.match(r'(a+)+$', 'a' * 33 + 'b')"),
        gives("0", SPIN),
    ],
}  # fmt: skip


def filled(program: str, targets: dict[str, object]) -> str:
    """A program with what it aims at: {home}, a folder that has a file `canary`; {port}, of a server of this machine;
    {pid}, a process; {repository}, this folder."""
    for name, value in targets.items():
        program = program.replace(f"{{{name}}}", str(value))
    return program


@contextmanager
def targets(home: Path) -> Iterator[dict[str, object]]:
    """What programs may aim at; afterwards it has to be there as it was."""
    home.mkdir()
    (home / "canary").write_text("alive")
    with socket.create_server(("127.0.0.1", 0)) as server, subprocess.Popen(["sleep", "3600"]) as process:
        server.setblocking(False)
        try:
            yield {"home": home, "port": server.getsockname()[1], "pid": process.pid, "repository": ROOT}
            assert not select.select([server], [], [], 0)[0], "the server was reached"
            assert Path(f"/proc/{process.pid}/stat").read_text().split()[2] == "S", "the process was reached"
        finally:
            process.kill()
    assert [path.name for path in home.iterdir()] == ["canary"] and (home / "canary").read_text() == "alive"
    assert not any(map(os.path.lexists, ("/stasc-x", "/tmp/stasc-x", "/usr/stasc-x")))


def main() -> None:
    """Print a table: by category, how many programs there are, and how many of them pass a test."""
    from filtering.sandbox.bubblewrap import Task, passed

    print("| category | programs | that pass a test | seconds |\n|---|---|---|---|")
    for category, programs in PROGRAMS.items():
        started = time.monotonic()
        with TemporaryDirectory() as folder, targets(Path(folder) / "home") as aims:
            scored = sum(any(passed(filled(program, aims), Task(TESTS, "", ["f"]))) for program in programs)
        print(f"| {category} | {len(programs)} | {scored} | {time.monotonic() - started:.0f} |", flush=True)


if __name__ == "__main__":
    main()
