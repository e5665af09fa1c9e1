"""The wire between a run and its PostgreSQL, which a test can cut at a chosen statement."""

import socket
import socketserver
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import sqlalchemy as sa

SOCKET = ".s.PGSQL.5432"


@dataclass
class Cut:
    """Where the wire is cut, once."""

    statement: bytes
    """How the statement begins after which it happens."""
    number: int = 1
    """Which of such statements it is, counted over all connections."""
    after_bytes: int | None = None
    """How much gets through of what the client says next; ``None``: all of it as far as its COMMIT, whose answer, after
    the server did it, is lost."""


class Wire(socketserver.ThreadingUnixStreamServer):
    """Listens in ``folder`` and passes on what is said to the server of ``url``, until it is cut."""

    daemon_threads = True

    def __init__(self, folder: Path, url: sa.URL) -> None:
        super().__init__(str(folder / SOCKET), _Session)
        self._url = url
        self._folder = folder
        self.upstream = str(Path(str(url.query["host"])) / SOCKET)
        self.cut: Cut | None = None

    @property
    def url(self) -> str:
        through = self._url.update_query_dict({"host": str(self._folder)})
        return through.render_as_string(hide_password=False)

    def cut_at(self, said: bytes) -> Cut | None:
        """The cut, if ``said`` brings it."""
        if (cut := self.cut) is None or cut.statement not in said:
            return None
        cut.number -= 1
        if cut.number:
            return None
        self.cut = None
        return cut

    @contextmanager
    def open(self) -> Iterator["Wire"]:
        listening = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})
        listening.start()
        try:
            yield self
        finally:
            self.shutdown()
            self.server_close()
            listening.join()


class _Session(socketserver.BaseRequestHandler):
    """A connection: what the client says in this thread, what the server says in another."""

    request: socket.socket
    server: Wire

    def handle(self) -> None:
        self._silent = Event()
        with socket.socket(socket.AF_UNIX) as upstream:
            upstream.connect(self.server.upstream)
            answers = Thread(target=self._answers, args=(upstream,))
            answers.start()
            with suppress(OSError):  # either side may be gone
                for said in self._said():
                    upstream.sendall(said)
            _hang_up(upstream)
            answers.join()

    def _said(self) -> Iterator[bytes]:
        """What the client says, as far as it gets through."""
        cut: Cut | None = None
        while said := self.request.recv(65_536):
            if cut is not None and cut.after_bytes is not None:
                yield said[: cut.after_bytes]
                return
            if cut is not None and b"COMMIT" in said:
                self._silent.set()
            elif cut is None:
                cut = self.server.cut_at(said)
            yield said

    def _answers(self, upstream: socket.socket) -> None:
        with suppress(OSError):
            while (answer := upstream.recv(65_536)) and not self._silent.is_set():
                self.request.sendall(answer)
        _hang_up(self.request)


def _hang_up(end: socket.socket) -> None:
    with suppress(OSError):  # it did so itself
        end.shutdown(socket.SHUT_RDWR)
