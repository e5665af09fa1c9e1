"""JSON lines: one object per line."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from senti_tasks.errors import quoted
from senti_tasks.intake.readers import encodings
from senti_tasks.intake.readers.compression import Source
from senti_tasks.intake.readers.encodings import Encoding
from senti_tasks.intake.readers.lines import Lines
from senti_tasks.intake.readers.options import Options
from senti_tasks.intake.tables import Record, Table


def open_lines(source: Source, options: Options) -> Table:
    """A JSON lines file. An object may lack any key: the columns are the keys of all objects.

    The file is read once for the keys.
    """
    encoding = encodings.detect(source, options.encoding)
    objects = (found for _, found in islice(_lines(source, encoding), options.rows_for_keys) if isinstance(found, dict))
    header = tuple(dict.fromkeys(key for found in objects for key in found))
    return Table(header, lambda: _records(source, encoding, header), facts=(*source.facts, encoding.fact))


def _records(source: Source, encoding: Encoding, header: tuple[str, ...]) -> Iterator[Record]:
    for number, found in _lines(source, encoding):
        if isinstance(found, dict):
            yield number, tuple(found.get(name) for name in header)
        else:
            yield number, found


def _lines(source: Source, encoding: Encoding) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """The number and the object of each line that is not blank, or the reason why it holds none."""
    text = Lines(source, encoding)
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        if text.broken == number:
            yield number, f"it holds bytes that are not {encoding.name}: {encodings.broken_bytes(line)}"
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            where = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
            yield number, f"expected a JSON object, found broken JSON: {where}"
        else:
            yield number, found if isinstance(found, dict) else f"expected a JSON object, found {quoted(line.strip())}"
