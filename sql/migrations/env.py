"""Alembic runs on the connection that ``senti migrate`` opened: one transaction for the tables and the views."""

from alembic import context

from senti_tasks.warehouse.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
