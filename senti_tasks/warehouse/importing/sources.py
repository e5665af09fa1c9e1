"""Import sources: the names under which files and data sets were imported, and whether they may be."""

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import WarehouseError
from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.migrations import recorded_setting
from senti_tasks.warehouse.schema import import_sources


def source_id(connection: Connection, name: str) -> int:
    """The number of the source ``name``; a new source gets the next number. Its row stays locked until the transaction
    ends, so that two imports of one source run one after the other."""
    table = import_sources
    statement = insert(connection, table).values(name=name)
    held = statement.on_conflict_do_update(index_elements=["name"], set_={"name": statement.excluded.name})
    found: int = connection.execute(held.returning(table.c.source_id)).scalar_one()
    return found


def record_revision(connection: Connection, number: int, revision: str) -> None:
    """Records the commit at which the rows of source ``number`` were read last."""
    changed = sa.update(import_sources).where(import_sources.c.source_id == number)
    connection.execute(changed.values(revision=revision))


def has_source(connection: Connection, name: str) -> bool:
    """Whether something was imported under ``name``."""
    return connection.scalar(sa.select(import_sources.c.source_id).where(import_sources.c.name == name)) is not None


def require_own_table(connection: Connection) -> None:
    """Raises ``WarehouseError`` when ``reviews`` is a view, or a table that ``senti migrate`` did not create."""
    is_view = "reviews" in sa.inspect(connection).get_view_names()
    if is_view or recorded_setting(connection, "reviews_made_by") != "senti":
        raise WarehouseError(
            f"reviews is {'a view over ' if is_view else ''}your own table here, so there is nothing to import into: "
            "insert the rows there. Labels can be imported: a file with review_id and label, or --annotations"
        )
