"""Output for people: Markdown tables, aligned so that they are readable as plain text too."""

import sys
from collections.abc import Sequence


def print_lines(*lines: str) -> None:
    """Writes ``lines`` to standard output and flushes it."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table. The first column is aligned left, the others right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    marks = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]

    def line(cells: Sequence[str]) -> str:
        aligned = [
            cells[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)),
        ]
        return f"| {' | '.join(aligned)} |"

    return [line(head), line(marks), *map(line, rows)]


def number(value: float | None, unit: str = "") -> str:
    """``value`` with three significant figures, or with thousands separators from 100 on; a dash for ``None``."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}{unit}"
    return f"{value:#.3g}{unit}" if value else f"0{unit}"


def percent(share: float | None) -> str:
    """``share``, from 0 to 1, in percent with one decimal; a dash for ``None``."""
    return "–" if share is None else f"{100 * share:.1f} %"
