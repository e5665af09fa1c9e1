"""JSON lines: one object per line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from senti_tasks.errors import quoted
from senti_tasks.intake import encodings
from senti_tasks.intake.tables import Record, Table


def open_lines(path: Path) -> Table:
    """A JSON lines file. An object may lack any key: the columns are the keys of all objects.

    The file is read once for the keys.
    """
    header = tuple(dict.fromkeys(key for _, found in _lines(path) if isinstance(found, dict) for key in found))
    return Table(header, lambda: _records(path, header))


def _records(path: Path, header: tuple[str, ...]) -> Iterator[Record]:
    for number, found in _lines(path):
        if isinstance(found, dict):
            yield number, tuple(found.get(name) for name in header)
        else:
            yield number, f"expected a JSON object, found {found}"


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """The number and the object of each line that is not blank, or a description of what it contains instead."""
    for number, line in enumerate(encodings.lines(path), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            where = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
            yield number, f"broken JSON: {where}"
        else:
            yield number, found if isinstance(found, dict) else quoted(line.strip())
