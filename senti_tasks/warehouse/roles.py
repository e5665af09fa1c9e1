"""Gives the roles of ``sql/roles`` their rights. SQLite has no roles."""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import WarehouseError

ROLES = ("senti_pipeline", "senti_importer", "senti_eraser", "senti_analyst")
"""The roles that ``sql/roles/create.sql`` creates. The file with the rights of each has its name, without "senti_"."""
OLDEST_VERSION = 17
"""The first version of PostgreSQL with the right MAINTAIN, by which a role may analyse tables that it does not own."""

PRESENT = sa.text(
    "SELECT rolname, has_schema_privilege(rolname, current_schema(), 'CREATE') AS may_create, "
    "pg_has_role(rolname, current_user, 'MEMBER') AS may_be_owner "
    "FROM pg_roles WHERE rolname = ANY(:roles) ORDER BY rolname"
)


def grant(connection: Connection, folder: Path) -> list[str]:
    """Gives each role of senti that the server has its rights in the warehouse, with the files in ``folder``/roles.

    Returns the names of these roles, in order. Raises ``WarehouseError`` if one of them could run code as another: if
    it may create something in the schema of the warehouse, or is the user of ``connection`` or a member of it.
    """
    if connection.dialect.name != "postgresql":
        return []
    present = connection.execute(PRESENT, {"roles": list(ROLES)}).all()
    version = int((connection.dialect.server_version_info or (0,))[0])
    if present and version < OLDEST_VERSION:
        raise WarehouseError(
            f"the roles of sql/roles need PostgreSQL {OLDEST_VERSION} or newer, found {version}: upgrade the server, "
            "or drop the roles and let one user do everything"
        )
    for role, may_create, may_be_owner in present:
        if may_be_owner:
            raise WarehouseError(
                f"{role} must not be or become the owner of the warehouse, who runs `senti migrate`: migrate as "
                f"another user, or REVOKE that user FROM {role}"
            )
        if may_create:
            raise WarehouseError(
                f"{role} may create objects in the schema of the warehouse, and could make its owner run them: REVOKE "
                f"CREATE ON SCHEMA from PUBLIC and from {role}, or use a schema of its own (docs/roles.md)"
            )
        path = folder / "roles" / f"{role.removeprefix('senti_')}.sql"
        # A statement without parameters is sent as it is, several at once.
        connection.exec_driver_sql(path.read_text("utf-8"), execution_options={"no_parameters": True})
    return [role for role, _, _ in present]
