"""Figures for people: Markdown tables, aligned so that they also read well as plain text."""

import sys
from collections.abc import Sequence


def say(*lines: str) -> None:
    """Writes ``lines`` to standard output."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table. The first column is aligned to the left, figures to the right."""
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
    """Three significant figures, with commas in what is large; a dash for ``None``."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}{unit}"
    return f"{value:#.3g}{unit}" if value else f"0{unit}"


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
