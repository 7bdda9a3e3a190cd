"""Chromium without a window and without a network, driven over the DevTools protocol through two pipes."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = "needs a browser: apt-get install chromium"
READ, WRITE = 3, 4  # the descriptors that --remote-debugging-pipe uses
OFFLINE = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
TIMEOUT = 60  # seconds, on a machine that does other things


class Browser:
    """One tab. `events` collects what the page reports: requests, log entries, exceptions."""

    def __init__(self, profile: Path) -> None:
        read, self._commands = os.pipe()
        self._answers, write = os.pipe()
        command = [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe",
            f"--user-data-dir={profile}", "--host-resolver-rules=MAP * ~NOTFOUND", "about:blank",
        ]  # fmt: skip
        # A shell moves the ends to where the browser looks for them; out of its way first, so that none is overwritten.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 100) for end in (read, write)]
        redirect = f'exec "$@" {READ}<&{ends[0]} {WRITE}>&{ends[1]}'
        self._process = subprocess.Popen(
            ["bash", "-c", redirect, "bash", *command], pass_fds=ends, stderr=subprocess.DEVNULL
        )
        for end in (read, write, *ends):
            os.close(end)
        self._received, self._last, self._session = b"", 0, None
        self.events: list[dict[str, Any]] = []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            self(f"{domain}.enable")
        self("Network.emulateNetworkConditions", **OFFLINE)

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its result."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._last:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        result = self("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait_for(self, expression: str) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not self.run(expression):
            assert time.monotonic() < deadline, f"{expression} did not become true in {TIMEOUT} s"
            time.sleep(0.02)

    def open(self, path: Path, anchor: str = "") -> None:
        """A file from disk, in a page of its own."""
        self("Page.navigate", url="about:blank")
        self("Page.navigate", url=f"{path.as_uri()}{anchor}")
        self.wait_for(f"location.href.startsWith({json.dumps(path.as_uri())}) && document.readyState === 'complete'")

    def screen(self, width: int, height: int, scheme: str = "light") -> None:
        mobile = width < 500
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if len(key) == 1 and kind == "keyDown" else {}
            self("Input.dispatchKeyEvent", type=kind, key=key, **text)

    def screenshot(self, path: Path, whole_page: bool = False) -> None:
        image = self("Page.captureScreenshot", format="png", captureBeyondViewport=whole_page)["data"]
        path.write_bytes(base64.b64decode(image))

    def complaints(self) -> list[dict[str, Any]]:
        """Errors of scripts, refused content, messages on the console."""
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [event["params"] for event in self.events if event["method"] in kinds]

    def requests(self) -> list[str]:
        """Everything that the page asked for."""
        sent = [event for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def close(self) -> None:
        self("Browser.close")
        self._process.wait(TIMEOUT)
        os.close(self._commands)
        os.close(self._answers)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._answers], [], [], TIMEOUT)
            assert ready, f"the browser said nothing for {TIMEOUT} s"
            part = os.read(self._answers, 1 << 20)
            assert part, "the browser is gone"
            self._received += part
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)
