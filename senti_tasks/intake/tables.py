"""Tables: what every format gives, before any column has a meaning."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

Record = tuple[int, tuple[object, ...] | str]
"""The line in which a row starts (its number, in formats without lines), and its cells in the order of the header. In
place of the cells of a row that cannot be read, the reason."""


@dataclass(frozen=True)
class Table:
    """The rows of one source, as its format gives them: text for delimited text, otherwise values of any type."""

    header: tuple[str, ...]
    """Names of the columns as in the source; "column 1", "column 2", … if it has no header."""
    rows: Callable[[], Iterator[Record]]
    """The rows in their order. Each call reads from the start, in memory that does not grow with the number of rows.
    Raises ``InputFileError`` or ``OSError`` where the source cannot be read further: commit no row before the end."""
    label_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Column to the names of its numbers 0, 1, …, where the source says them (``ClassLabel`` of ``datasets``)."""
    facts: tuple[str, ...] = ()
    """What was taken for the source, and why: one short sentence each."""
