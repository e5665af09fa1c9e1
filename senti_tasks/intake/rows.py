"""Rows: what a reader found in the columns, checked and turned into a review."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from senti_tasks import text
from senti_tasks.errors import InputFileError
from senti_tasks.intake import timestamps
from senti_tasks.labels import Spellings


class Cells(NamedTuple):
    """What the file holds in the columns of one row, as its format gives it; ``None`` for a column it lacks."""

    text: object
    label: object
    product: object
    id: object
    created_at: object


Record = tuple[int, Cells | str]
"""The line a row starts in, and its cells or why there are none."""


@dataclass(frozen=True, slots=True)
class Row:
    """One good row."""

    number: int
    """Data row in the file, from 1, the header and empty lines not counted: its identity where the file has no ids."""
    line: int
    """Line of the file in which it starts, for messages; ``number`` in files that have no lines."""
    id: str | None
    text: str
    """As in the file: neither normalised nor stripped."""
    label: int | None
    product: str | None
    created_at: datetime | None
    """Aware, in UTC."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row that cannot be used; the rest of the file can."""

    line: int
    reason: str


def build_all(
    records: Iterable[Record], source: Path | str, *, needs_id: bool, timezone: ZoneInfo, spellings: Spellings
) -> Iterator[Row | Refusal]:
    """The reviews of ``records``, as they come. Raises ``InputFileError`` where there are none or they break off."""
    number = 0
    try:
        for number, (line, cells) in enumerate(records, start=1):
            if isinstance(cells, str):
                yield Refusal(line, cells)
            else:
                yield build(number, line, cells, needs_id=needs_id, timezone=timezone, spellings=spellings)
    except OSError as error:
        raise InputFileError(f"{source} cannot be read: {error.strerror or error}") from error
    if number == 0:
        raise InputFileError(f"{source} holds no rows: expected at least one review")


def build(
    number: int, line: int, cells: Cells, *, needs_id: bool, timezone: ZoneInfo, spellings: Spellings
) -> Row | Refusal:
    """The review that ``cells`` hold, or why they hold none. Product and id are stripped, a blank product is none."""
    try:
        review = _review(cells.text)
        identity = _identity(cells.id) if needs_id else None
        label = spellings.parse(cells.label)
        product = _name("product", cells.product)
        created_at = timestamps.parse(cells.created_at, timezone)
    except ValueError as error:
        return Refusal(line, str(error))
    return Row(number, line, identity, review, label, product, created_at)


def _review(value: object) -> str:
    review = _string("text", value)
    if review is None or (reason := text.defect(review)):
        raise ValueError("the text is blank" if review is None else reason)
    return review


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
    if isinstance(value, float) and value.is_integer():  # an integer column with gaps, once through pandas
        value = int(value)
    match value:
        case bool() | bytes() | list() | dict():
            raise ValueError(f"the {what} is not text: found {type(value).__name__} {str(value)[:40]}")
        case _:
            return str(value)
