"""Delimited text: CSV by RFC 4180, and TSV without quotes."""

import csv
from collections.abc import Iterator
from pathlib import Path

from senti_tasks.errors import InputFileError
from senti_tasks.intake import encodings
from senti_tasks.intake.columns import Columns
from senti_tasks.intake.rows import Cells, Record

CELL_CHARACTERS = 16 * 2**20
"""The csv module's own limit, 131,072, is less than a long review, and where it ends an unclosed quote is found."""

_Fields = Iterator[tuple[int, list[str]]]


def read_csv(path: Path, columns: Columns) -> Iterator[Record]:
    """The rows of a CSV file. A quote that is not closed as RFC 4180 wants is an ``InputFileError``."""
    csv.field_size_limit(max(CELL_CHARACTERS, csv.field_size_limit()))
    return _records(_csv_fields(path), columns, path)


def read_tsv(path: Path, columns: Columns) -> Iterator[Record]:
    """The rows of a TSV file, one a line; quotes mean nothing."""
    return _records(_tsv_fields(path), columns, path)


def _csv_fields(path: Path) -> _Fields:
    reader = csv.reader(encodings.lines(path), strict=True)
    while True:
        start = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputFileError(_complaint(path, start, reader.line_num, error)) from error
        if fields:
            yield start, fields


def _complaint(path: Path, start: int, end: int, error: csv.Error) -> str:
    if "new-line character" in str(error):
        return (
            f"{path}, line {start}: a carriage return stands in a field without quotes. Expected lines that end in LF "
            f"or CR LF: if this file's end in CR, run tr '\\r' '\\n' < {path.name} > lf-{path.name}"
        )
    return (
        f"{path}, line {start}: a field that starts with a quote is not closed as RFC 4180 wants by line {end} "
        f"({error}). Write quotes inside it twice, or save the file as .tsv, where quotes mean nothing"
    )


def _tsv_fields(path: Path) -> _Fields:
    for number, line in enumerate(encodings.lines(path), start=1):
        if content := line.removesuffix("\n").removesuffix("\r"):
            yield number, content.split("\t")


def _records(fields: _Fields, columns: Columns, path: Path) -> Iterator[Record]:
    _, header = next(fields, (0, None))
    if header is None:
        raise InputFileError(f"{path} is empty: expected a first line with the names of its columns")
    places = columns.find(header, path)
    for line, row in fields:
        if len(row) != len(header):
            yield line, f"expected {len(header)} fields, as in the first line, found {len(row)}"
        else:
            yield line, Cells(*(None if place is None else row[place] for place in places))
