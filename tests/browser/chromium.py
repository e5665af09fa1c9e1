"""A headless Chromium that a test steers through its DevTools protocol."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ANSWER_S = 60


class Tab:
    """One tab. ``events`` are all events that have arrived."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._sent, self._session = socket, 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a method of the protocol. Events that arrive before it are kept."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters}
        self._socket.send(json.dumps(message | ({"sessionId": self._session} if self._session else {})))
        while (answer := self._next()).get("id") != self._sent:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, path: Path, width: int, *, scheme: str = "light", media: str = "screen") -> None:
        """Opens a file in a window of this width and waits until it is loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 700
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", media=media, features=[feature])
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while "Page.loadEventFired" not in self.methods():
            self.events.append(self._next())

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def methods(self) -> list[str]:
        return [event.get("method", "") for event in self.events]

    def _next(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._socket.recv(timeout=ANSWER_S))
        return found


@contextmanager
def tab(profile: Path) -> Iterator[Tab]:
    """A tab of a browser that ends with the block. ``profile`` is an empty folder."""
    assert PROGRAM is not None
    switches = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
    ]
    browser = subprocess.Popen([PROGRAM, *switches, "about:blank"], stderr=subprocess.PIPE, text=True)
    assert browser.stderr is not None
    try:
        address = next(found[1] for line in browser.stderr if (found := re.search(r"listening on (ws://\S+)", line)))
        with connect(address, max_size=None, proxy=None) as socket:
            yield Tab(socket)
    finally:
        browser.terminate()
        browser.communicate()
