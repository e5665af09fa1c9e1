"""Reviews out of the files people have: CSV, TSV, JSON lines, Parquet and folders that ``datasets`` has saved.

It reads what is there, text untouched, and knows nothing of the database. Imports pyarrow, so it is slow to import.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

from senti_tasks import labels
from senti_tasks.errors import InputFileError
from senti_tasks.intake import arrow, delimited, json_lines, rows
from senti_tasks.intake.columns import Columns
from senti_tasks.intake.rows import Refusal, Row

__all__ = ["FORMATS", "Columns", "Refusal", "Row", "read"]

FORMATS: dict[str, Callable[[Path, Columns], Iterator[rows.Record]]] = {
    "csv": delimited.read_csv,
    "tsv": delimited.read_tsv,
    "jsonl": json_lines.read,
    "parquet": arrow.read_parquet,
    "dataset": arrow.read_dataset,
}
"""Format name to its reader, as ``--format`` takes it.

csv is RFC 4180. tsv knows no quotes: a quote is a character like any other, and no cell holds a tab or a line break.
dataset is a folder that ``Dataset.save_to_disk`` wrote.
"""

_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_CHINA = ZoneInfo("Asia/Shanghai")


def read(
    path: Path,
    columns: Columns,
    format: str | None = None,  # noqa: A002 - named like the option it comes from
    timezone: ZoneInfo = _CHINA,
    spellings: labels.Spellings = labels.DEFAULT.spellings,
) -> Iterator[Row | Refusal]:
    """Every row of ``path`` in the file's order, unusable ones as a ``Refusal``; memory does not grow with the file.

    ``format`` is one of ``FORMATS``, by default what the suffix says. Dates without a zone are in ``timezone``.
    ``spellings`` say what the label column's cells mean. Empty lines are no rows. Raises ``InputFileError`` when the
    file as a whole is not as expected; some faults show only after rows were yielded, so a caller keeps none of them
    before the last one came.
    """
    reader = FORMATS[_format_of(path, format)]
    needs_id = columns.id is not None
    records = reader(path, columns)
    yield from rows.build_all(records, path, needs_id=needs_id, timezone=timezone, spellings=spellings)


def _format_of(path: Path, named: str | None) -> str:
    if named is not None and named not in FORMATS:
        raise InputFileError(f"there is no format {named!r}: --format takes one of {', '.join(FORMATS)}")
    if not (path.is_file() or path.is_dir()):  # a pipe cannot be read twice: once for its encoding, once for its rows
        raise InputFileError(f"{path} is no file and no folder: expected a file of reviews, or a folder of datasets")
    found = named or ("dataset" if path.is_dir() else _SUFFIXES.get(path.suffix.lower()))
    if found is None:
        raise InputFileError(
            f"{path} has no known suffix (known are: {', '.join(_SUFFIXES)}): "
            f"pass --format with one of {', '.join(FORMATS)}"
        )
    if path.is_dir() != (found == "dataset"):
        kind, expected = ("a folder", "a file") if path.is_dir() else ("a file", "a folder that datasets has saved")
        raise InputFileError(f"{path} is {kind}, but the format {found} is {expected}: pass another --format or path")
    return found
