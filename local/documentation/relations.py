"""The pages on views and tables: from the heads of sql/views, from sql/columns.toml and from the schema."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from local.documentation.sources import ROOT, cell
from senti_tasks.warehouse import column_comments, database, migrations
from senti_tasks.warehouse.schema import metadata

_VIEWS = """\
# Views and queries

What analysts query. The views show the labels of the model in service. Columns are only ever added. On PostgreSQL the
same descriptions are comments, which `\\d+` in psql shows. In Python, `senti_tasks.read_view(NAME)` returns a view as
a DataFrame.

"""
_TABLES = """\
# Tables

The tables of the warehouse. Build on the [views](views.md): tables may change with any version.

"""


def views_page() -> str:
    known = column_comments.read(ROOT / "sql")
    columns = _columns_of_views()
    parts = [_VIEWS]
    views = sorted((ROOT / "sql" / "views").glob("*.sql"))
    parts.extend(_section(path.stem, _head(path), known, columns[path.stem]) for path in views)
    parts.append("## Queries\n\nEach file in sql/queries answers one question: `senti_tasks.read_query(NAME)`.\n\n")
    parts.append("| query | question |\n|---|---|\n")
    queries = sorted((ROOT / "sql" / "queries").glob("*.sql"))
    parts.extend(f"| `{path.stem}` | {cell(_head(path))} |\n" for path in queries)
    return "".join(parts)


def tables_page() -> str:
    known = column_comments.read(ROOT / "sql")
    parts = [_TABLES]
    for name, table in sorted(metadata.tables.items()):
        parts.append(_section(name, known["tables"].get(name, ""), known, [column.name for column in table.columns]))
    return "".join(parts)


def _head(path: Path) -> str:
    return column_comments.of_view(path.read_text("utf-8"))


def _section(name: str, whole: str, known: column_comments.Descriptions, columns: Iterable[str]) -> str:
    rows = "".join(
        f"| `{column}` | {cell(column_comments.of_column(known, name, column) or '')} |\n" for column in columns
    )
    return f"## {name}\n\n{whole}\n\n| column | meaning |\n|---|---|\n{rows}\n"


def _columns_of_views() -> dict[str, list[str]]:
    """The columns of each view in their order, read from a new warehouse."""
    with TemporaryDirectory() as folder:
        engine = database.connect(f"sqlite:///{Path(folder) / 'warehouse.db'}")
        migrations.migrate(engine, review_id_type="bigint", reviews_table="reviews")
        inspector = sa.inspect(engine)
        found = {
            view: [column["name"] for column in inspector.get_columns(view)] for view in inspector.get_view_names()
        }
        engine.dispose()
    return found
