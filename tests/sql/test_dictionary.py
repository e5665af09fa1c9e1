"""Every view and every column of one says what it means, and PostgreSQL shows it."""

import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.warehouse import database, dictionary
from senti_tasks.warehouse.migrations import SQL, view_statements
from tests.situations import on_postgresql

KNOWN = dictionary.columns(SQL)


def columns_of(engine: Engine) -> set[tuple[str, str]]:
    with database.reading(engine) as connection:
        inspector = sa.inspect(connection)
        return {(view, column["name"]) for view in view_statements() for column in inspector.get_columns(view)}


def test_every_column_of_every_view_has_a_meaning(engine: Engine) -> None:
    silent = {(view, name) for view, name in columns_of(engine) if not dictionary.meaning_of_column(KNOWN, view, name)}
    assert silent == set()


def test_every_meaning_is_of_a_column_that_is_there(engine: Engine) -> None:
    present = columns_of(engine)
    assert KNOWN["columns"].keys() <= {name for _, name in present}
    for view, meanings in KNOWN.items():
        if view != "columns":
            assert {(view, name) for name in meanings} <= present


@on_postgresql
def test_the_catalog_holds_them(engine: Engine) -> None:
    told = sa.text(
        "SELECT obj_description(to_regclass(:view)), col_description(to_regclass(:view), attribute.attnum) "
        "FROM pg_attribute AS attribute WHERE attribute.attrelid = to_regclass(:view) AND attribute.attnum > 0"
    )
    with database.reading(engine) as connection:
        for view, statement in view_statements().items():
            for whole, column in connection.execute(told, {"view": view}):
                assert whole == dictionary.meaning_of(statement)
                assert column
