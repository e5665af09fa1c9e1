"""Delimited text: CSV, TSV and the like."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from senti_tasks.errors import InputFileError
from senti_tasks.intake.readers import dialects, encodings, lines
from senti_tasks.intake.readers.compression import Source
from senti_tasks.intake.readers.dialects import Dialect, Sample
from senti_tasks.intake.readers.encodings import Encoding
from senti_tasks.intake.readers.lines import Lines
from senti_tasks.intake.readers.options import Options
from senti_tasks.intake.tables import Record, Table

_SEARCHED_LINES = 500_000
"""Lines in which quotes are looked for."""
_PART_LENGTH = 2**19


def open_text(source: Source, options: Options) -> Table:
    """A file of delimited text. Raises ``InputFileError``, also while rows are read, for a quote that is not closed."""
    encoding = encodings.detect(source, options.encoding)
    text, is_all = lines.sample(source, encoding)
    sample = Sample(text, is_all, source.name)
    if not text.strip("\r\n"):
        raise InputFileError(f"{source.name} is empty: expected a first line with the names of its columns")
    dialect, facts = dialects.sniff(sample, options)
    may_differ = dialect.separator in dialects.MAY_HAVE_NO_QUOTING and options.quoting is None and not dialect.skipped
    if may_differ and not sample.is_all and (later := _part_with_quotes(source, encoding, dialect)) is not None:
        found = replace(options, separator=dialect.separator or "none", header=dialect.has_header)
        dialect, facts = dialects.sniff(later, found)
    first = next(_fields(source, encoding, dialect))[2]
    if dialect.has_header and not any(name.strip() for name in first):
        raise InputFileError(f"{source.name}: the first line names no column; pass --no-header if it holds values")
    header = tuple(first) if dialect.has_header else tuple(f"column {i}" for i in range(1, len(first) + 1))
    return Table(
        header, lambda: _records(source, encoding, dialect, len(header)), facts=(*source.facts, encoding.fact, *facts)
    )


def _part_with_quotes(source: Source, encoding: Encoding, dialect: Dialect) -> Sample | None:
    """The first line, and a part that begins where a field begins with a quote."""
    text = iter(Lines(source, encoding, dialect.end))
    part, length = [next(text)], 0
    for line in islice(text, _SEARCHED_LINES):
        if '"' in line and (line.startswith('"') or (dialect.separator and f'{dialect.separator}"' in line)):
            part.append(line)
            break
    else:
        return None
    for line in text:
        part.append(line)
        length += len(line)
        if length > _PART_LENGTH:
            return Sample("".join(part), False, source.name)
    return Sample("".join(part), True, source.name)


def _records(source: Source, encoding: Encoding, dialect: Dialect, width: int) -> Iterator[Record]:
    fields = _fields(source, encoding, dialect)
    if dialect.has_header:
        next(fields)
    for line, broken, row in fields:
        if broken is not None:
            yield line, f"it holds bytes that are not {encoding.name}: {broken}"
        elif len(row) != width:
            yield line, f"expected {width} fields, as in the first line, found {len(row)}"
        else:
            yield line, tuple(row)


def _fields(source: Source, encoding: Encoding, dialect: Dialect) -> Iterator[tuple[int, str | None, list[str]]]:
    """First line of each row, the bytes in it that are not valid, if any, and its fields."""
    text, last = Lines(source, encoding, dialect.end), 0
    try:
        for start, end, fields in dialect.fields(text):
            last = end
            broken = encodings.broken_bytes("".join(fields)) if text.broken >= start else None
            yield start, broken, fields
    except csv.Error as error:
        raise InputFileError(
            f"{source.name}, line {last + 1}: a field that starts with a quote is not closed as in RFC 4180 ({error}). "
            "Double the quotes inside it, or pass --quoting none if quotes are ordinary characters in this file"
        ) from error
