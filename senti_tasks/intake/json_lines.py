"""JSON lines: one object a line."""

import json
from collections.abc import Iterator
from pathlib import Path

from senti_tasks.intake import encodings
from senti_tasks.intake.columns import Columns
from senti_tasks.intake.rows import Cells, Record


def read(path: Path, columns: Columns) -> Iterator[Record]:
    """The rows of a JSON lines file. Objects may leave out keys; the first one must have the text.

    Its columns are all keys seen so far: a named one that no object has is an ``InputFileError`` after the last line.
    """
    keys: dict[str, None] = {}
    names: tuple[str | None, ...] = (None,) * len(Cells._fields)
    for number, line in enumerate(encodings.lines(path), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            where = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
            yield number, f"expected a JSON object, found broken JSON: {where}"
            continue
        if not isinstance(found, dict):
            yield number, f"expected a JSON object, found {line.strip()[:40]}"
            continue
        if not found.keys() <= keys.keys():
            keys.update(dict.fromkeys(found))
            names = _names(keys, columns, path, may_grow=True)
        yield number, Cells(*(None if name is None else found.get(name) for name in names))
    if keys:
        _names(keys, columns, path, may_grow=False)


def _names(keys: dict[str, None], columns: Columns, path: Path, *, may_grow: bool) -> tuple[str | None, ...]:
    header = list(keys)
    return tuple(None if i is None else header[i] for i in columns.find(header, path, may_grow=may_grow))
