"""Rows: checks the cells of one row and turns them into a review."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from senti_tasks import text
from senti_tasks.cells import as_json
from senti_tasks.errors import InputFileError, quoted
from senti_tasks.intake import timestamps
from senti_tasks.intake.columns import Columns
from senti_tasks.intake.tables import Table
from senti_tasks.labels import Spellings

Value = TypeVar("Value")


class Cells(NamedTuple):
    """The values of one row, as the format of the file gives them; ``None`` for a column that the file lacks."""

    text: object = None
    label: object = None
    product: object = None
    id: object = None
    created_at: object = None
    further: tuple[object, ...] = ()
    """Those that are kept as attributes."""


Chosen = tuple[int, Cells | str]
"""As ``tables.Record``, with the cells of the chosen columns."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be imported."""

    number: int
    """Number of the row, from 1, without header and empty lines. It identifies the row if the file has no ids."""
    line: int
    """Line of the file in which the row starts, for messages; ``number`` in files without lines."""
    id: str | None
    text: str
    """As in the file: not normalised and not stripped."""
    label: int | None
    product: str | None
    created_at: datetime | None
    """Aware, in UTC."""
    attributes: Mapping[str, object] = field(default_factory=dict)
    """The further columns, as values of JSON; ``None`` for a cell that is empty."""
    left_empty: tuple[tuple[str, str], ...] = ()
    """Label, product and created_at are optional: the fields whose cell cannot be read, each with the reason."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that cannot be imported. The other rows of the file can."""

    line: int
    reason: str


def choose(table: Table, columns: Columns, source: Path | str) -> Iterator[Chosen]:
    """The cells of ``columns`` in each row of ``table``. The number of a label is replaced by its name, if it has one,
    because data sets number their labels in different orders; -1 means there that nobody labelled the row. Raises
    ``InputFileError`` as ``Columns.find`` does."""
    positions = columns.find(table.header, source)
    label = positions[1]
    further = columns.further(table.header, source).values()
    # itemgetter takes a cell that follows the row for a column that the file lacks; two positions make it give tuples.
    fields = itemgetter(*(-1 if position is None else position for position in positions))
    others = itemgetter(-1, -1, *further)
    names = () if label is None else table.label_names.get(table.header[label], ())
    for line, row in table.rows():
        if isinstance(row, str):
            yield line, row
            continue
        row = (*row, None)
        cells = Cells._make((*fields(row), others(row)[2:]))
        number = cells.label
        if names and isinstance(number, int):
            if number == -1:
                cells = cells._replace(label=None)
            elif 0 <= number < len(names):
                cells = cells._replace(label=names[number])
        yield line, cells


def build_all(
    records: Iterable[Chosen],
    source: Path | str,
    *,
    needs_id: bool,
    needs_text: bool,
    timezone: ZoneInfo,
    spellings: Spellings,
    attributes: Sequence[str],
) -> Iterator[Row | Refusal]:
    """A row or a refusal for each of ``records``, in their order.

    A row without an id is refused if ``needs_id``, and one without a text if ``needs_text``. ``attributes`` are the
    names of the further columns. Dates without a time zone are in ``timezone``. ``spellings`` gives
    the meaning of label cells. Product and id are stripped, and a blank product becomes ``None``. So does a label, a
    product or a date that cannot be read: it does not cost the review. Raises ``InputFileError`` if there are no
    records or ``source`` cannot be read.
    """
    number = 0
    product, timestamp = partial(_name, "product"), partial(timestamps.parse, timezone=timezone)
    try:
        for number, (line, cells) in enumerate(records, start=1):
            if isinstance(cells, str):
                yield Refusal(line, cells)
                continue
            try:
                review = _review(cells.text) if needs_text or cells.text is not None else ""
                identity = _identity(cells.id) if needs_id else None
            except ValueError as error:
                yield Refusal(line, str(error))
                continue
            empty: list[tuple[str, str]] = []
            yield Row(
                number=number,
                line=line,
                text=review,
                id=identity,
                label=_optional("label", spellings.parse, cells.label, empty),
                product=_optional("product", product, cells.product, empty),
                created_at=_optional("created_at", timestamp, cells.created_at, empty),
                attributes=dict(_attributes(attributes, cells.further, empty)),
                left_empty=tuple(empty),
            )
    except OSError as error:
        raise InputFileError(f"{source} cannot be read: {error.strerror or error}") from error
    if number == 0:
        raise InputFileError(f"{source} holds no rows: expected at least one review")


def _optional(field: str, read: Callable[[object], Value], cell: object, empty: list[tuple[str, str]]) -> Value | None:
    """What ``read`` makes of ``cell``; ``None``, and an entry in ``empty``, if it cannot be read."""
    try:
        return read(cell)
    except ValueError as error:
        empty.append((field, str(error)))
        return None


def _attributes(
    names: Sequence[str], further: tuple[object, ...], empty: list[tuple[str, str]]
) -> Iterator[tuple[str, object]]:
    for name, cell in zip(names, further, strict=True):
        try:
            value = as_json(cell)
        except ValueError as error:
            empty.append((f"attributes.{name}", str(error)))
            continue
        yield name, value


def _review(value: object) -> str:
    review = _string("text", value)
    if reason := text.defect(review):
        raise ValueError(reason)
    return review or ""


def _identity(value: object) -> str:
    identity = _name("id", value)
    if identity is None:
        raise ValueError("the id is blank: every row needs one where --id-column is given")
    return identity


def _name(what: str, value: object) -> str | None:
    name = _string(what, value)
    if name is None or not text.normalise(name):
        return None
    if reason := text.defect(name):
        raise ValueError(f"the {what} cannot be stored: {reason}")
    return name.strip()


def _string(what: str, value: object) -> str | None:
    if value is None or value != value:  # NaN
        return None
    if isinstance(value, float) and value.is_integer():  # pandas stores an integer column with gaps as floats
        value = int(value)
    match value:
        case bool() | bytes() | list() | dict():
            raise ValueError(f"the {what} is not text: found {type(value).__name__} {quoted(value)}")
    return str(value)
