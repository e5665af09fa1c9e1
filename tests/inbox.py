"""A webhook on loopback that collects the alerts it gets."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Inbox:
    """The alerts that came in, oldest first, each with title and message."""

    def __init__(self, port: int) -> None:
        self.url = f"json://127.0.0.1:{port}/alerts"
        """For SENTI_ALERT_URL."""
        self.address = f"http://127.0.0.1:{port}"
        self.received: list[dict[str, Any]] = []
        self.status = 200
        """What the webhook answers."""

    @property
    def titles(self) -> list[str]:
        return [str(alert["title"]).removeprefix("Sentiment: ") for alert in self.received]


@contextmanager
def opened() -> Iterator[Inbox]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if inbox.status == 200:
                inbox.received.append(json.loads(body))
            self.send_response(inbox.status)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Nothing: pytest would show it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        inbox = Inbox(server.server_port)
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield inbox
        server.shutdown()
        thread.join()
