"""Descriptions of views, tables and columns: from the heads of ``sql/views`` and from ``sql/columns.toml``."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from itertools import takewhile
from pathlib import Path

from sqlalchemy import Connection

Descriptions = Mapping[str, Mapping[str, str]]


def read(folder: Path) -> Descriptions:
    """The descriptions in ``folder``/columns.toml, by section and name.

    The section ``tables`` describes tables. ``columns`` describes columns by name, in whatever table. A section with
    the name of a table or view describes the columns of that one, and overrides ``columns``.
    """
    return tomllib.loads((folder / "columns.toml").read_text("utf-8"))


def of_view(statement: str) -> str:
    """The description of a view: the comment at the head of its ``statement``, as one line."""
    head = takewhile(lambda line: line.startswith("--"), statement.splitlines())
    return " ".join(line.removeprefix("--").strip() for line in head)


def of_column(known: Descriptions, relation: str, column: str) -> str | None:
    """The description of ``column`` in a view or table; ``None`` when there is none."""
    return known.get(relation, {}).get(column, known["columns"].get(column))


def of_relation(known: Descriptions, relation: str, whole: str, columns: Iterable[str]) -> dict[str, str]:
    """The comments of a view or table: ``whole`` under the empty name, and those of its ``columns`` by name. Columns
    without a description are left out."""
    found = {name: of_column(known, relation, name) for name in columns}
    return {"": whole, **{name: comment for name, comment in found.items() if comment}}


def write(connection: Connection, kind: str, relation: str, comments: Mapping[str, str]) -> None:
    """Sets ``comments``, as ``of_relation`` returns them, where ``kind`` is VIEW or TABLE. SQLite has no comments."""
    quote = connection.dialect.identifier_preparer.quote
    for name, comment in comments.items():
        subject = f"COLUMN {quote(relation)}.{quote(name)}" if name else f"{kind} {quote(relation)}"
        text = re.sub(r"\s+", " ", comment).replace("'", "''")
        # Without no_parameters psycopg would read a per-cent sign as a placeholder.
        connection.exec_driver_sql(f"COMMENT ON {subject} IS '{text}'", execution_options={"no_parameters": True})
