"""Reads reviews from files: CSV, TSV, JSON lines, Parquet, and folders saved by ``datasets``.

Texts are returned unchanged. Nothing is written to the database here. The package imports pyarrow, which is slow.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from senti_tasks import labels
from senti_tasks.errors import InputFileError
from senti_tasks.intake import arrow, delimited, json_lines, rows
from senti_tasks.intake.columns import Columns
from senti_tasks.intake.rows import Refusal, Row
from senti_tasks.intake.tables import Record, Table

__all__ = ["FORMATS", "Columns", "Options", "Record", "Refusal", "Row", "Table", "open", "read"]

FORMATS: dict[str, Callable[[Path], Table]] = {
    "csv": delimited.open_csv,
    "tsv": delimited.open_tsv,
    "jsonl": json_lines.open_lines,
    "parquet": arrow.open_parquet,
    "dataset": arrow.open_dataset,
}
"""Format name, for ``--format``, to reader.

csv is RFC 4180. tsv has no quoting: a quote is an ordinary character, and a cell cannot contain a tab or a line break.
dataset is a folder written by ``Dataset.save_to_disk``.
"""


@dataclass(frozen=True)
class Options:
    """What a user says about a source, instead of its being found out. ``None``: find it out."""

    format: str | None = None
    """A key of ``FORMATS``."""


_FOUND_OUT = Options()
_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_SHOWN_LENGTH = 255  # characters of a path that a message shows whole
_CHINA = ZoneInfo("Asia/Shanghai")


def open(path: Path, options: Options = _FOUND_OUT) -> Table:  # noqa: A001 - read as intake.open
    """The table in ``path``. Raises ``InputFileError`` if the file as a whole is not as expected."""
    return FORMATS[_format_of(path, options.format)](path)


def read(
    path: Path,
    columns: Columns,
    format: str | None = None,  # noqa: A002 - the name of the option
    timezone: ZoneInfo = _CHINA,
    spellings: labels.Spellings = labels.DEFAULT.spellings,
) -> Iterator[Row | Refusal]:
    """Each row of ``path`` in its order, or a ``Refusal`` for a row that cannot be used. Memory use is constant.

    Dates without a time zone are in ``timezone``. ``spellings`` gives the meaning of the cells in the label column.
    Empty lines are no rows. Raises ``InputFileError``, also after rows were yielded, so a caller must not commit any
    rows before the end.
    """
    try:
        table = open(path, Options(format))
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror or error}") from error
    if not table.header:
        raise InputFileError(f"{path} holds no rows: expected at least one review")
    chosen = rows.choose(table, columns, path)
    yield from rows.build_all(chosen, path, needs_id=columns.id is not None, timezone=timezone, spellings=spellings)


def _format_of(path: Path, named: str | None) -> str:
    if named is not None and named not in FORMATS:
        raise InputFileError(f"there is no format {named!r}: --format takes one of {', '.join(FORMATS)}")
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except OSError as error:
        shown = str(path) if len(str(path)) <= _SHOWN_LENGTH else f"{str(path)[:40]} …"
        raise InputFileError(
            f"{shown} cannot be opened ({error.strerror}): expected a file of reviews that this user may read"
        ) from error
    if not (is_file or is_folder):  # also for a pipe: a file is read twice, for its encoding and for its rows
        raise InputFileError(f"{path} is no file and no folder: expected a file of reviews, or a folder of datasets")
    found = named or ("dataset" if is_folder else _SUFFIXES.get(path.suffix.lower()))
    if found is None:
        raise InputFileError(
            f"{path} has no known suffix (known are: {', '.join(_SUFFIXES)}): "
            f"pass --format with one of {', '.join(FORMATS)}"
        )
    if is_folder != (found == "dataset"):
        kind, expected = ("a folder", "a file") if is_folder else ("a file", "a folder that datasets has saved")
        raise InputFileError(f"{path} is {kind}, but the format {found} is {expected}: pass another --format or path")
    return found
