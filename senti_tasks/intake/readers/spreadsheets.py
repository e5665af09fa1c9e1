"""Spreadsheets: .xlsx, .xlsb, .xls and .ods. A whole sheet is in memory while it is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta

import python_calamine as calamine

from senti_tasks.errors import InputFileError
from senti_tasks.intake.readers.compression import Source
from senti_tasks.intake.readers.dialects import has_header
from senti_tasks.intake.readers.options import Options
from senti_tasks.intake.tables import Record, Table

Cell = int | float | str | bool | date | datetime | time | timedelta


def open_sheet(source: Source, options: Options) -> Table:
    """The sheet that ``options`` names, or the only one with cells. Its first row with cells is the header.

    Whole numbers are ``int``, since a spreadsheet does not distinguish them. Empty cells are ``None``, and so are
    formulas that have no value or an error. Raises ``InputFileError``.
    """
    if source.packed is not None:
        raise InputFileError(f"{source.name} is a spreadsheet in a compressed file: unpack it first")
    name = _name(source, options.sheet)
    rows = _rows(source, name)
    _, first = next(rows, (0, ()))
    others = [row for _, (_, row) in zip(range(100), rows, strict=False)]
    if not first:
        raise InputFileError(f"{source.name}: the sheet {name!r} is empty: expected a first row with column names")
    spelled = [["" if cell is None else str(cell) for cell in row] for row in (first, *others)]
    is_header = options.header if options.header is not None else has_header(spelled)
    header = tuple(
        cell if is_header and cell else f"column {number}" for number, cell in enumerate(spelled[0], start=1)
    )
    facts = [f"sheet: {name}", *([] if is_header else ["no header: the first row holds values"])]
    return Table(header, lambda: _records(source, name, is_header), facts=tuple(facts))


def _records(source: Source, sheet: str, is_header: bool) -> Iterator[Record]:
    rows = _rows(source, sheet)
    if is_header:
        next(rows)
    yield from rows


def _rows(source: Source, sheet: str) -> Iterator[tuple[int, tuple[object, ...]]]:
    """Number and cells of each row that is not empty."""
    with _opened(source) as book:
        for number, row in enumerate(book.get_sheet_by_name(sheet).iter_rows(), start=1):
            cells = tuple(map(_value, row))
            if any(cell is not None for cell in cells):
                yield number, cells


def _value(cell: Cell) -> object:
    if cell == "" and isinstance(cell, str):
        return None
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


def _name(source: Source, named: str | None) -> str:
    with _opened(source) as book:
        names = book.sheet_names
        if named is not None:
            if named not in names:
                raise InputFileError(f"{source.name} has no sheet {named!r}: it has {', '.join(names)}")
            return named
        shown = [m.name for m in book.sheets_metadata if m.visible == calamine.SheetVisibleEnum.Visible]
        filled = [name for name in shown if len(shown) == 1 or _has_cells(book, name)]
    if len(filled) != 1:
        raise InputFileError(
            f"{source.name} has {len(filled) or 'no'} sheets with cells: pass --sheet with one of {', '.join(names)}"
        )
    return filled[0]


def _has_cells(book: calamine.CalamineWorkbook, name: str) -> bool:
    try:
        return book.get_sheet_by_name(name).height > 0
    except calamine.CalamineError:  # a chart
        return False


@contextmanager
def _opened(source: Source) -> Iterator[calamine.CalamineWorkbook]:
    """Raises ``InputFileError`` also for what calamine finds later, while a sheet is read."""
    try:
        with calamine.CalamineWorkbook.from_path(source.path) as book:
            yield book
    except calamine.PasswordError as error:
        raise InputFileError(f"{source.name} is protected by a password: save it without one") from error
    except BaseException as error:
        # An error in Rust that nobody expected is a BaseException whose type cannot be imported.
        if not isinstance(error, calamine.CalamineError) and type(error).__name__ != "PanicException":
            raise
        first_line = str(error).partition("\n")[0]
        raise InputFileError(
            f"{source.name} is no spreadsheet, or is damaged ({first_line}): open it in a spreadsheet program and save "
            "it as .xlsx"
        ) from error
