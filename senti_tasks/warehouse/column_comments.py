"""What views, tables and their columns mean: from the heads of ``sql/views`` and from ``sql/columns.toml``."""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from sqlalchemy import Connection

Known = Mapping[str, Mapping[str, str]]


def meaning_of(statement: str) -> str:
    """What a row of a view means: the comment at the head of its file, on one line."""
    lines = []
    for line in statement.splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
    return " ".join(lines)


def columns(folder: Path) -> Known:
    """The meanings in ``columns.toml``: those of every view and table under ``columns``, those of one under its name;
    and what a row of a table means under ``tables``."""
    return tomllib.loads((folder / "columns.toml").read_text("utf-8"))


def meaning_of_column(known: Known, relation: str, column: str) -> str | None:
    """What ``column`` means in a view or table; ``None`` when nobody has said."""
    return known.get(relation, {}).get(column, known["columns"].get(column))


def meanings(known: Known, relation: str, whole: str, names: Iterable[str]) -> dict[str, str]:
    """What a view or table means, under the empty name, and its columns as far as somebody has said."""
    told = {name: meaning_of_column(known, relation, name) for name in names}
    return {"": whole, **{name: meaning for name, meaning in told.items() if meaning}}


def digest(told: Mapping[str, str]) -> str:
    return hashlib.sha256(repr(sorted(told.items())).encode()).hexdigest()


def comment(connection: Connection, kind: str, relation: str, told: Mapping[str, str]) -> None:
    """Makes ``meanings`` the comments of a view or table (``kind``) and its columns; PostgreSQL alone has comments."""
    quote = connection.dialect.identifier_preparer.quote
    for name, meaning in told.items():
        subject = f"COLUMN {quote(relation)}.{quote(name)}" if name else f"{kind} {quote(relation)}"
        text = re.sub(r"\s+", " ", meaning).replace("'", "''")
        # psycopg would take a per-cent sign for a placeholder
        connection.exec_driver_sql(f"COMMENT ON {subject} IS '{text}'", execution_options={"no_parameters": True})
