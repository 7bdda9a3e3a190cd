"""A server that speaks just enough of OpenAI's chat completions, and misbehaves as it is told."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behavior = Callable[[str, int], tuple[Any, ...]]  # what is asked, and for which time: one of those below


def says(word: str, logprobs: dict[str, float] | None = None, **more: Any) -> tuple[int, dict[str, str], bytes]:
    """An answer of one word; logprobs: {token: log-probability} of the first."""
    likeliest = [{"token": token, "logprob": value, "bytes": None} for token, value in (logprobs or {}).items()]
    first = {"token": word, "logprob": 0.0, "bytes": None, "top_logprobs": likeliest}
    choice = {
        "index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": word},
        "logprobs": {"content": [first]} if logprobs else None,
    }  # fmt: skip
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return 200, {}, json.dumps(body | more).encode()


def fails(status: int, message: str = "no", **headers: str) -> tuple[int, dict[str, str], bytes]:
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(
        {"error": {"message": message}}
    ).encode()  # fmt: skip


def slowly(seconds: float, answer: tuple[int, dict[str, str], bytes]) -> tuple[int, dict[str, str], bytes]:
    time.sleep(seconds)
    return answer


def half(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, dict[str, str], bytes, bool]:
    """The first half of the body, then the end of the connection."""
    return *answer, True


class Server(ThreadingHTTPServer):
    """asked: what each request was about, in their order, keys: what it came with; most: requests at once."""

    daemon_threads = True

    def __init__(self, behavior: Behavior) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behavior, self.asked, self.keys, self.bodies = behavior, [], set(), []
        self.at_once = self.most = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server, body = self.server, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        about = body["messages"][-1]["content"]
        with server.lock:
            times = server.asked.count(about)
            server.asked.append(about)
            server.bodies.append(body)
            server.keys.add(self.headers["Authorization"])
            server.at_once += 1
            server.most = max(server.most, server.at_once)
        try:
            status, headers, content, *cut = server.behavior(about, times)
        finally:
            with server.lock:
                server.at_once -= 1
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a client that has not waited
            self.send_response(status)
            for name, value in (
                {"Content-Type": "application/json", "Content-Length": str(len(content))} | headers
            ).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = bool(cut)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def serving(behavior: Behavior) -> Iterator[Server]:
    with Server(behavior) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
