"""Prints results: tables for people, one JSON document for programs."""

import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.text import Text

PIPE_WIDTH = 200
"""Width of tables, in characters, when the output is no terminal."""


class _Console(Console):
    """A console whose reader may go away, as with ``| head``: the command goes on, and the rest is dropped."""

    def on_broken_pipe(self) -> None:
        silence(sys.stderr if self.stderr else sys.stdout)


def prepare() -> None:
    """Has standard output and standard error take whatever is printed.

    No job may fail because a terminal has no glyph for a character (GBK, ASCII), or because a stream is closed.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller: >&-
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123  open to the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def finish() -> None:
    """Writes what is buffered. A reader that has gone away is no error."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            silence(stream)


def silence(stream: TextIO) -> None:
    """Drops what is written to ``stream`` from now on."""
    unread = os.open(os.devnull, os.O_WRONLY)
    os.dup2(unread, stream.fileno())
    os.close(unread)


def open_console(*, stderr: bool = False) -> Console:
    """A console on standard output or standard error. Colours only on a terminal, and without NO_COLOR."""
    stream = sys.stderr if stderr else sys.stdout
    return _Console(stderr=stderr, soft_wrap=True, highlight=False, width=None if stream.isatty() else PIPE_WIDTH)


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        silence(sys.stdout)


def show(value: Any, as_json: bool, *parts: str | RenderableType) -> None:
    """Prints ``value`` as JSON, or else ``parts``, one below the other, to standard output."""
    if as_json:
        _write(json.dumps(value, ensure_ascii=False, default=_plain, indent=2) + "\n")
        return
    console = open_console()
    for part in parts:
        console.print(Text(part) if isinstance(part, str) else part)


def show_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Prints ``rows`` as CSV with ``columns``, each as soon as it is there; keys that a row lacks are empty."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([row.get(name) for name in columns])
        if written.tell() > 65_536:
            _write(written.getvalue())
            written.seek(0)
            written.truncate()
    _write(written.getvalue())


def progress(line: str) -> None:
    """Prints a line about work in progress to standard error. Standard output is for results only."""
    open_console(stderr=True).print(Text(line))


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
