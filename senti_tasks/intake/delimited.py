"""Delimited text: CSV as in RFC 4180, and TSV without quoting."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

from senti_tasks.errors import InputFileError
from senti_tasks.intake import encodings
from senti_tasks.intake.tables import Record, Table

_CELL_CHARACTERS = 16 * 2**20
"""The default limit of the csv module, 131,072, is too short for some reviews. An unclosed quote ends at the limit."""

_Fields = Iterator[tuple[int, list[str]]]


def open_csv(path: Path) -> Table:
    """A CSV file. Raises ``InputFileError``, also while rows are read, for a quote not closed as in RFC 4180."""
    csv.field_size_limit(max(_CELL_CHARACTERS, csv.field_size_limit()))
    return _table(lambda: _csv_fields(path), path)


def open_tsv(path: Path) -> Table:
    """A TSV file, one row per line. Quotes are ordinary characters."""
    return _table(lambda: _tsv_fields(path), path)


def _tsv_fields(path: Path) -> _Fields:
    for number, line in enumerate(encodings.lines(path), start=1):
        if stripped := line.removesuffix("\n").removesuffix("\r"):
            yield number, stripped.split("\t")


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


def _table(fields: Callable[[], _Fields], path: Path) -> Table:
    _, header = next(fields(), (0, None))
    if header is None:
        raise InputFileError(f"{path} is empty: expected a first line with the names of its columns")
    return Table(tuple(header), lambda: _records(fields(), len(header)))


def _records(fields: _Fields, width: int) -> Iterator[Record]:
    next(fields)  # the header
    for line, row in fields:
        if len(row) != width:
            yield line, f"expected {width} fields, as in the first line, found {len(row)}"
        else:
            yield line, tuple(row)
