"""Delimited text: CSV as in RFC 4180, and TSV without quoting."""

import csv
from collections.abc import Iterator
from pathlib import Path

from senti_tasks.errors import InputFileError
from senti_tasks.intake import encodings
from senti_tasks.intake.columns import Columns
from senti_tasks.intake.rows import Cells, Record

_CELL_CHARACTERS = 16 * 2**20
"""The default limit of the csv module, 131,072, is too short for some reviews. An unclosed quote ends at the limit."""

_Fields = Iterator[tuple[int, list[str]]]


def read_csv(path: Path, columns: Columns) -> Iterator[Record]:
    """The rows of a CSV file. Raises ``InputFileError`` for a quote that is not closed as in RFC 4180."""
    csv.field_size_limit(max(_CELL_CHARACTERS, csv.field_size_limit()))
    return _records(_csv_fields(path), columns, path)


def read_tsv(path: Path, columns: Columns) -> Iterator[Record]:
    """The rows of a TSV file, one per line. Quotes are ordinary characters."""
    lines = enumerate(encodings.lines(path), start=1)
    stripped = ((number, line.removesuffix("\n").removesuffix("\r")) for number, line in lines)
    return _records(((number, line.split("\t")) for number, line in stripped if line), columns, path)


def _csv_fields(path: Path) -> _Fields:
    reader = csv.reader(encodings.lines(path), strict=True)
    start = 1
    try:
        for fields in reader:
            if fields:
                yield start, fields
            start = reader.line_num + 1
    except csv.Error as error:
        reason = (
            f"a field that starts with a quote is not closed as in RFC 4180 by line {reader.line_num} ({error}). "
            "Double the quotes inside it, or save the file as .tsv, where quotes are ordinary characters"
        )
        if "new-line character" in str(error):
            reason = (
                "a carriage return is in a field without quotes. Expected lines that end in LF or CR LF: if this "
                f"file's end in CR, run tr '\\r' '\\n' < {path.name} > lf-{path.name}"
            )
        raise InputFileError(f"{path}, line {start}: {reason}") from error


def _records(fields: _Fields, columns: Columns, path: Path) -> Iterator[Record]:
    _, header = next(fields, (0, None))
    if header is None:
        raise InputFileError(f"{path} is empty: expected a first line with the names of its columns")
    positions = columns.find(header, path)
    for line, row in fields:
        if len(row) != len(header):
            yield line, f"expected {len(header)} fields, as in the first line, found {len(row)}"
        else:
            yield line, Cells(*(None if position is None else row[position] for position in positions))
