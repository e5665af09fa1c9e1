"""Prints results: tables for people, one JSON document for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 200
"""Width of tables, in characters, when the output is no terminal."""


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, soft_wrap=True, highlight=False, width=None if stream.isatty() else PIPE_WIDTH)


def show(value: Any, as_json: bool, *parts: str | Table) -> None:
    """Prints ``value`` as JSON, or else ``parts``, one below the other, to standard output."""
    if as_json:
        sys.stdout.write(json.dumps(value, ensure_ascii=False, default=_plain, indent=2) + "\n")
        return
    console = _console(stderr=False)
    for part in parts:
        console.print(Text(part) if isinstance(part, str) else part)


def progress(line: str) -> None:
    """Prints a line about work in progress to standard error. Standard output is for results only."""
    _console(stderr=True).print(Text(line))


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> Table:
    """A table of ``rows`` with ``columns``, which maps keys of the rows to headings; other keys are not shown."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for key, heading in columns.items():
        numeric = any(isinstance(row.get(key), int | float) and not isinstance(row.get(key), bool) for row in rows)
        drawn.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(_cell(row.get(key))) for key in columns))
    return drawn


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return f"{value.astimezone():%Y-%m-%d %H:%M}"
    return "-" if value is None else str(value)
