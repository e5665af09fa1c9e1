"""JSON lines: one object per line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from senti_tasks.errors import quoted
from senti_tasks.intake import encodings
from senti_tasks.intake.columns import Columns
from senti_tasks.intake.rows import Cells, Record


def read(path: Path, columns: Columns) -> Iterator[Record]:
    """The rows of a JSON lines file. An object may lack any key: the columns are the keys of all objects.

    The file is read twice, first for the keys.
    """
    keys = list(dict.fromkeys(key for _, found in _lines(path) if isinstance(found, dict) for key in found))
    names = columns.names(keys, path) if keys else ()
    for number, found in _lines(path):
        if isinstance(found, dict):
            yield number, Cells(*(None if name is None else found.get(name) for name in names))
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
