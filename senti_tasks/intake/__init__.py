"""Reads reviews from files: delimited text, JSON, Parquet, Arrow, spreadsheets, and folders saved by ``datasets``.

Texts are returned unchanged. Nothing is written to the database here. The package imports pyarrow, which is slow.
"""

import glob
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

from senti_tasks.errors import ConfigError, InputFileError
from senti_tasks.intake import codings, rows
from senti_tasks.intake.codings import Coding
from senti_tasks.intake.columns import Columns
from senti_tasks.intake.readers import arrow, delimited, json_arrays, json_lines, spreadsheets
from senti_tasks.intake.readers.compression import Source, open_source
from senti_tasks.intake.readers.formats import recognise
from senti_tasks.intake.readers.options import Options
from senti_tasks.intake.rows import Refusal, Row
from senti_tasks.intake.tables import Record, Table
from senti_tasks.labels import DEFAULT, LabelSet

__all__ = [
    "FORMATS",
    "Coding",
    "Columns",
    "Options",
    "Record",
    "Refusal",
    "Row",
    "Table",
    "build",
    "code",
    "find",
    "open",
    "read",
    "read_table",
]

FORMATS: dict[str, tuple[str, ...]] = {
    "csv": ("encoding", "separator", "quoting", "header"),
    "jsonl": ("encoding",),
    "json": ("encoding",),
    "parquet": (),
    "arrow": (),
    "spreadsheet": ("sheet", "header"),
    "dataset": (),
}
"""Format name, for ``--format``, to the options that it has.

csv is delimited text of any dialect. json is one array of objects. arrow is a Feather file, an Arrow file or an Arrow
stream. spreadsheet is .xlsx, .xlsb, .xls or .ods. dataset is a folder written by ``Dataset.save_to_disk``.
"""

_READERS: dict[str, Callable[[Source, Options], Table]] = {
    "csv": delimited.open_text,
    "jsonl": json_lines.open_lines,
    "json": json_arrays.open_array,
    "parquet": arrow.open_parquet,
    "arrow": arrow.open_arrow,
    "spreadsheet": spreadsheets.open_sheet,
}
_FOUND_OUT = Options()
_SHOWN_LENGTH = 255  # characters of a path that a message shows whole
_CHINA = ZoneInfo("Asia/Shanghai")


def find(patterns: Sequence[str]) -> list[Path]:
    """The files that ``patterns`` name, each once: paths, or patterns with * ? [] **, whose files are sorted.

    Raises ``InputFileError`` for a pattern without files. A path is returned whether or not a file is there.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        if any(mark in pattern for mark in "*?[") and not path.exists():
            names = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
            if not names:
                raise InputFileError(f"no file matches {pattern!r}: expected a pattern of files of reviews")
            found |= dict.fromkeys(map(Path, names))
        else:
            found[path] = None
    return list(found)


def open(path: Path, options: Options = _FOUND_OUT) -> Table:  # noqa: A001 - read as intake.open
    """The table in ``path``. Raises ``InputFileError`` if the file as a whole is not as expected, and ``ConfigError``
    for an option that its format does not have."""
    if options.format is not None and options.format not in FORMATS:
        raise InputFileError(f"there is no format {options.format!r}: --format takes one of {', '.join(FORMATS)}")
    try:
        is_folder = _is_folder(path)
        if options.format is not None and is_folder != (options.format == "dataset"):
            kind, expected = ("a folder", "a file") if is_folder else ("a file", "a folder that datasets has saved")
            raise InputFileError(
                f"{path} is {kind}, but the format {options.format} is {expected}: pass another --format or path"
            )
        if is_folder:
            _check_options("dataset", options)
            return arrow.open_dataset(path)
        source = open_source(path)
        found = options.format or recognise(source)
        _check_options(found, options)
        table = _READERS[found](source, options)
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror or error}") from error
    return replace(table, facts=(f"format: {found}", *table.facts))


def read(
    path: Path,
    columns: Columns,
    options: Options = _FOUND_OUT,
    timezone: ZoneInfo = _CHINA,
    labels: LabelSet = DEFAULT,
    label_map: str | None = None,
) -> Iterator[Row | Refusal]:
    """Each row of ``path`` in its order, or a ``Refusal`` for a row that cannot be used. Memory use is constant, except
    for spreadsheets. The file is read twice: see ``code``.

    Dates without a time zone are in ``timezone``. Empty lines are no rows. Raises ``InputFileError``, also after rows
    were yielded, so a caller must not commit any rows before the end.
    """
    return read_table(open(path, options), path, columns, timezone, labels, label_map)


def read_table(
    table: Table,
    source: Path | str,
    columns: Columns,
    timezone: ZoneInfo = _CHINA,
    labels: LabelSet = DEFAULT,
    label_map: str | None = None,
) -> Iterator[Row | Refusal]:
    """As ``read``, for the rows of ``table``, which messages call ``source``."""
    return build(table, source, columns, timezone, code(table, source, columns, labels, label_map))


def code(
    table: Table, source: Path | str, columns: Columns, labels: LabelSet = DEFAULT, label_map: str | None = None
) -> Coding:
    """The coding of the label column of ``table``, decided on all of its rows. ``label_map`` is as in
    ``LabelSet.mapped``. Raises ``InputFileError`` if the values have two meanings or none; ``source`` is for
    messages."""
    if not table.header:
        raise InputFileError(f"{source} holds no rows: expected at least one review")
    position = columns.find(table.header, source)[1]
    if position is None:
        return codings.decide({}, labels, "", source, label_map)
    cells = (
        (line, row.label, row.text) for line, row in rows.choose(table, columns, source) if not isinstance(row, str)
    )
    column = table.header[position]
    try:
        values = codings.gather(cells, column, source)
    except OSError as error:
        raise InputFileError(f"{source} cannot be read: {error.strerror or error}") from error
    return codings.decide(values, labels, column, source, label_map)


def build(
    table: Table, source: Path | str, columns: Columns, timezone: ZoneInfo, coding: Coding
) -> Iterator[Row | Refusal]:
    """As ``read``, for the rows of ``table``."""
    return rows.build_all(
        rows.choose(table, columns, source),
        source,
        needs_id=columns.id is not None or columns.is_annotations,
        needs_text=not columns.is_annotations,
        timezone=timezone,
        spellings=coding.spellings,
        attributes=list(columns.further(table.header, source)) if table.header else (),
    )


def _check_options(format: str, options: Options) -> None:  # noqa: A002 - the name of the option
    for name in ("encoding", "separator", "quoting", "header", "sheet"):
        if getattr(options, name) is not None and name not in FORMATS[format]:
            takers = ", ".join(taker for taker, names in FORMATS.items() if name in names)
            raise ConfigError(f"--{name} is for {takers}, and this file is {format}: leave it out")


def _is_folder(path: Path) -> bool:
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except OSError as error:
        shown = str(path) if len(str(path)) <= _SHOWN_LENGTH else f"{str(path)[:40]} …"
        raise InputFileError(
            f"{shown} cannot be opened ({error.strerror}): expected a file of reviews that this user may read"
        ) from error
    if not (is_file or is_folder):  # also for a pipe: a file is read twice, for its encoding and for its rows
        raise InputFileError(f"{path} is no file and no folder: expected a file of reviews, or a folder of datasets")
    return is_folder
