"""Tables for people, as wide as the terminal: what does not fit beside the rest goes below its row."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

_GAP = 2
_INDENT = "    "
_LEAST_PROSE = 24
"""A column of sentences is at least so wide, in cells; a Chinese character takes two."""
_SHORT, _CODE = 17, 40
"""Values of at most so many cells are never broken: any value, and one without spaces, such as the name of a model."""
_GOOD = frozenset({"promote", "promoted", "published", "proven", "ok", "success"})
_BAD = frozenset({"refuse", "refused", "abandoned", "MISSING", "failed"})
_WAITING = frozenset({"held", "approve", "frozen"})
_JUDGED = frozenset({"verdict", "state", "ok", "passed", "difference_shown"})

Row = Mapping[str, Any]


def table(
    rows: Sequence[Row],
    columns: Mapping[str, str],
    *,
    formats: Mapping[str, str] | None = None,
    one_line: Collection[str] = (),
) -> "Listing":
    """A table of ``rows`` with ``columns``, which maps keys of the rows to headings; other keys are not shown.

    The first columns are the most important ones: where the width does not suffice, the last ones that hold no
    sentences are shown below their row. ``formats`` are those of ``str.format`` for some columns, such as ``{:.1%}``.
    The values of the columns ``one_line`` are cut to one line.
    """
    return Listing(rows, columns, formats or {}, one_line)


class Listing:
    """A table that fits every width. No number, date or name is ever broken."""

    def __init__(
        self, rows: Sequence[Row], columns: Mapping[str, str], formats: Mapping[str, str], one_line: Collection[str]
    ) -> None:
        self._columns = columns
        self._one_line = frozenset(one_line)
        self._rows = [{key: _cell(row.get(key), formats.get(key)) for key in columns} for row in rows]
        self._numeric = {key for key in columns if any(_is_number(row.get(key)) for row in rows)}
        self._prose = {key for key in columns if self._is_prose(key)}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        beside, widths = self._layout(options.max_width)
        below = [key for key in self._columns if key not in beside]
        if not below:
            yield self._table(beside, widths, self._rows, with_header=True)
            return
        for number, row in enumerate(self._rows):
            yield self._table(beside, widths, [row], with_header=number == 0)
            parts = [f"{self._columns[key]} {row[key]}".strip() for key in below if row[key] not in ("-", "")]
            yield from (Text(_INDENT + line, style="dim") for line in _packed(parts, options.max_width, " · "))

    def _layout(self, width: int) -> tuple[list[str], dict[str, int]]:
        """The columns beside each other, and their widths."""
        natural = {key: self._natural(key, cell_len(heading)) for key, heading in self._columns.items()}
        if sum(natural.values()) + _GAP * (len(natural) - 1) <= width:
            return list(self._columns), natural
        natural = {
            key: self._natural(key, max(map(cell_len, heading.split() or [""])))
            for key, heading in self._columns.items()
        }
        beside = list(self._columns)
        while True:
            room = width - _GAP * (len(beside) - 1)
            prose = [key for key in beside if key in self._prose]
            fixed = sum(natural[key] for key in beside if key not in self._prose)
            least = sum(min(natural[key], _LEAST_PROSE) for key in prose)
            rigid = [key for key in beside if key not in self._prose]
            if fixed + least <= room or len(beside) == 1 or (not rigid[1:] and prose):
                break
            beside.remove(rigid[-1])
        return beside, natural | _shared(max(1, room - fixed), {key: natural[key] for key in prose})

    def _natural(self, key: str, heading: int) -> int:
        """The width that a column wants whose heading takes ``heading`` cells."""
        cells = [cell_len(line) for row in self._rows for line in row[key].split("\n")]
        return max(1, heading, *cells) if cells else max(1, heading)

    def _is_prose(self, key: str) -> bool:
        if key in self._numeric:
            return False
        return key in self._one_line or any(
            cell_len(cell) > _CODE or (cell_len(cell) > _SHORT and re.search(r"\s|[^\x00-\x7f]", cell))
            for cell in (row[key] for row in self._rows)
        )

    def _table(self, beside: list[str], widths: Mapping[str, int], rows: Sequence[Row], *, with_header: bool) -> Table:
        drawn = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold", show_header=with_header)
        for key in beside:
            cut = key not in self._prose or key in self._one_line
            drawn.add_column(
                _broken(self._columns[key], widths[key]),
                justify="right" if key in self._numeric else "left",
                width=widths[key],
                no_wrap=cut,
                overflow="ellipsis" if cut else "fold",
            )
        for row in rows:
            drawn.add_row(
                *(Text(_flat(row[key]) if key in self._one_line else row[key], _style(key, row[key])) for key in beside)
            )
        return drawn


def _broken(heading: str, width: int) -> str:
    """``heading`` in lines of at most ``width`` cells, broken between words."""
    return "\n".join(_packed(heading.split(), width + len(_INDENT), " "))


def _packed(parts: Sequence[str], width: int, between: str) -> list[str]:
    """``parts`` in lines that are indented, and end before ``width``."""
    lines: list[str] = []
    for part in parts:
        if lines and cell_len(_INDENT + lines[-1] + between + part) <= width:
            lines[-1] += between + part
        else:
            lines.append(part)
    return lines


def _shared(room: int, wanted: dict[str, int]) -> dict[str, int]:
    """``room`` cells for columns that want so many: none gets more than it wants, and the others share the rest."""
    widths: dict[str, int] = {}
    for left, key in _counted_down(sorted(wanted, key=lambda key: wanted[key])):
        widths[key] = max(1, min(wanted[key], room // left))
        room -= widths[key]
    return widths


def _counted_down(keys: Sequence[str]) -> Iterator[tuple[int, str]]:
    return zip(range(len(keys), 0, -1), keys, strict=True)


def _style(key: str, cell: str) -> str:
    """Only colours that can be read on a light and on a dark background."""
    if key not in _JUDGED:
        return ""
    if cell in _GOOD:
        return "green"
    if cell in _BAD or (key == "passed" and cell == "no"):
        return "bold red"
    return "magenta" if cell in _WAITING else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _flat(cell: str) -> str:
    return " ".join(cell.split())


def _cell(value: Any, pattern: str | None) -> str:
    if value is None:
        return "-"
    if pattern is not None and isinstance(value, float):
        return pattern.format(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return f"{value.astimezone():%Y-%m-%d %H:%M}"
    return str(value)
