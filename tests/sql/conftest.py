"""Warehouses with the roles of ``sql/roles``: their owner, and somebody who has each role."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from senti_tasks.warehouse import database, migrations
from senti_tasks.warehouse.migrations import SQL
from senti_tasks.warehouse.roles import ROLES
from tests.conftest import Databases

NO_PARAMETERS = {"no_parameters": True}
OWNERS = ("owner", "superuser")


@pytest.fixture(scope="session")
def owned_templates() -> dict[str, str]:
    """For each kind of owner, the owner's URL of a migrated database that is copied for each test."""
    return {}


@pytest.fixture(params=OWNERS)
def owned_url(
    request: pytest.FixtureRequest, databases: Databases, owned_templates: dict[str, str], postgres: sa.URL
) -> Iterator[str]:
    """The owner's URL of a migrated warehouse. The owner is no superuser in one, and a superuser in the other."""
    if request.param not in owned_templates:
        owned_templates[request.param] = owned(databases.empty(), request.param, postgres)
        engine = database.connect(owned_templates[request.param])
        for _ in range(2):  # as for a second release
            migrations.migrate(engine, review_id_type="bigint", reviews_table="reviews")
    url = owned(databases.copy(owned_templates[request.param]), request.param, postgres)
    yield url
    databases.drop(url)


def owned(url: str, kind: str, postgres: sa.URL) -> str:
    """The owner's URL of the database at ``url``, which is given to an owner of this kind."""
    with sa.create_engine(postgres, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool).connect() as connection:
        connection.exec_driver_sql((SQL / "roles" / "create.sql").read_text("utf-8"), execution_options=NO_PARAMETERS)
        if kind == "superuser":
            return url
        if connection.exec_driver_sql("SELECT 1 FROM pg_roles WHERE rolname = 'an_owner'").first() is None:
            connection.exec_driver_sql("CREATE ROLE an_owner LOGIN")
        connection.exec_driver_sql(f"ALTER DATABASE {sa.make_url(url).database} OWNER TO an_owner")
    return sa.make_url(url).set(username="an_owner").render_as_string(hide_password=False)


@pytest.fixture
def people(owned_url: str, postgres: sa.URL) -> dict[str, str]:
    """The URL of somebody who has each role, by the role's name without "senti_"."""
    return {role.removeprefix("senti_"): somebody(role, owned_url, postgres) for role in ROLES}


def somebody(role: str, url: str, postgres: sa.URL, name: str = "li") -> str:
    """The URL of a new login at the warehouse, who has the role and no other right."""
    parsed = sa.make_url(url)
    login = f"{name}_{role}_{parsed.database}"
    with sa.create_engine(postgres, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool).connect() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {login} LOGIN IN ROLE {role}")
    return parsed.set(username=login).render_as_string(hide_password=False)
