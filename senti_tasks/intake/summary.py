"""Summary: what an import takes a source for, shown before anything is stored."""

import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import senti_tasks.intake as intake
from senti_tasks.cells import is_missing
from senti_tasks.errors import InputFileError
from senti_tasks.intake import rows as built
from senti_tasks.intake.codings import Coding
from senti_tasks.intake.columns import Columns
from senti_tasks.intake.tables import Record, Table
from senti_tasks.labels import LabelSet
from senti_tasks.text import text_hash

SAMPLE_ROWS = 10_000
SAMPLE_SECONDS = 0.5
FIRST_ROWS = 5
_EXAMPLES = 3
_LINES = 20
_SHOWN = 30  # characters of a review
_ROLES = ("text", "label", "product", "id", "created_at")


class LeftEmpty:
    """The cells that could not be read in rows that were taken: by field, how many, in which lines, and why."""

    def __init__(self) -> None:
        self.fields: dict[str, dict[str, Any]] = {}

    def add(self, row: built.Row) -> None:
        for field, reason in row.left_empty:
            found = self.fields.setdefault(field, {"count": 0, "lines": [], "examples": []})
            found["count"] += 1
            if len(found["lines"]) < _LINES:
                found["lines"].append(row.line)
            if len(found["examples"]) < _EXAMPLES and reason not in found["examples"]:
                found["examples"].append(reason)


def summarise(
    table: Table,
    source: Path | str,
    columns: Columns,
    timezone: ZoneInfo,
    labels: LabelSet,
    label_map: str | None = None,
    coding: Coding | None = None,
) -> dict[str, Any]:
    """What is taken for ``table`` and why, on a sample of at most ``SAMPLE_ROWS`` rows from its start, or of what
    ``SAMPLE_SECONDS`` allow to read.

    ``coding``: that of the whole column; without it, the coding of the sample. Returns facts, columns, attributes
    (names of the further columns that are kept), ignored (of those that are not), sampled_rows, is_whole (whether the
    sample is all there is), label, problem (why the label column has no coding, or ``None``), dates, duplicates,
    refused, refusals, left_empty and first_rows. Raises ``InputFileError``.
    """
    if not table.header:
        raise InputFileError(f"{source} holds no rows: expected at least one review")
    positions = dict(zip(_ROLES, columns.find(table.header, source), strict=True))
    used, further = set(positions.values()), columns.further(table.header, source)
    sample, is_whole = _sample(table)
    sampled = replace(table, rows=lambda: iter(sample))
    problem = None
    try:
        coding = coding or intake.code(sampled, source, columns, labels, label_map)
    except InputFileError as error:
        problem = str(error)
    unread = coding or intake.code(sampled, source, replace(columns, label=None, off=(*columns.off, "label")), labels)
    rows = list(intake.build(sampled, source, columns, timezone, unread))
    taken = [row for row in rows if isinstance(row, built.Row)]
    refused = [row for row in rows if isinstance(row, built.Refusal)]
    left_empty = LeftEmpty()
    for row in taken:
        left_empty.add(row if problem is None else replace(row, label=None, left_empty=_but_label(row.left_empty)))
    texts = [row.text for row in taken if row.text]
    dates = [row.created_at for row in taken if row.created_at is not None]
    return {
        "facts": list(table.facts),
        "columns": {role: _column(role, positions[role], table, columns) for role in _ROLES},
        "attributes": list(further),
        "ignored": [name for place, name in enumerate(table.header) if place not in {*used, *further.values()}],
        "sampled_rows": len(rows),
        "is_whole": is_whole,
        "label": None if coding is None or positions["label"] is None else _coding(coding, labels),
        "problem": problem,
        "dates": {
            "read": len(dates),
            "first": min(dates, default=None),
            "last": max(dates, default=None),
            "missing": len(taken) - len(dates) - left_empty.fields.get("created_at", {"count": 0})["count"],
        },
        "duplicates": {
            "texts": len(texts) - len({text_hash(text) for text in texts}),
            "ids": len(taken) - len({row.id for row in taken}) if taken and taken[0].id is not None else 0,
        },
        "refused": len(refused),
        "refusals": [{"line": row.line, "reason": row.reason} for row in refused[:FIRST_ROWS]],
        "left_empty": left_empty.fields,
        "first_rows": [
            {
                "line": row.line,
                "id": row.id,
                "text": shortened(row.text),
                "label": None if row.label is None else labels.names[row.label],
                "product": row.product,
                "created_at": row.created_at,
                "attributes": {name: value for name, value in row.attributes.items() if value is not None},
            }
            for row in taken[:FIRST_ROWS]
        ],
    }


def shortened(text: object) -> str:
    """The beginning of a text, on one line. For what people read before an import, never for an error or a log."""
    line = " ".join(str(text).split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def _sample(table: Table) -> tuple[list[Record], bool]:
    found: list[Record] = []
    started = time.monotonic()
    with closing(_generator(table.rows())) as rows:
        for row in rows:
            if len(found) == SAMPLE_ROWS or (found and time.monotonic() - started > SAMPLE_SECONDS):
                return found, False
            found.append(row)
    return found, True


def _generator(rows: Iterable[Record]) -> Any:
    yield from rows


def _but_label(left_empty: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple(each for each in left_empty if each[0] != "label")


def _column(role: str, position: int | None, table: Table, columns: Columns) -> dict[str, str | None]:
    option = f"{role.replace('_', '-')}-column"
    if role in columns.off:
        return {"name": None, "why": f"--no-{option}"}
    if position is None:
        why = "source and row number are the key" if role == "id" else "no column has a usual name"
        return {"name": None, "why": why}
    return {
        "name": table.header[position],
        "why": f"--{option}" if getattr(columns, role) is not None else "its usual name",
    }


def _coding(coding: Coding, labels: LabelSet) -> dict[str, Any]:
    values = [
        {
            "value": str(value.cell)[:_SHOWN],
            "label": label,
            "label_name": None if label is None else labels.names[label],
            "readable": readable,
            "missing": readable and label is None and is_missing(value.cell),
            "count": value.count,
            "line": value.line,
            "example": shortened(value.text),
        }
        for value, label, readable in coding.meanings()
    ]
    return {"coding": coding.name, "values": values}
