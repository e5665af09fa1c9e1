"""
Serves the dashboards of this folder with Apache Superset: `python serve.py HOST:PORT`, with Superset's Python.

Before each start it migrates Superset's own database, gives the user ``admin`` the password of the environment, and
imports the files of this folder over what is there. Charts and dashboards that people made stay.

The environment has SUPERSET_HOME (a folder), SUPERSET_SECRET_KEY_FILE, SUPERSET_ADMIN_PASSWORD_FILE, and
SENTI_DATABASE_URL or SENTI_DATABASE_URL_FILE: the warehouse as analysts read it.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import yaml

FOLDER = Path(__file__).resolve().parent
QUERIES = FOLDER.parent / "sql" / "queries"
KINDS = ("databases", "datasets", "charts", "dashboards")
DATABASE = "Senti warehouse"
READERS = "Sentiment"
"""The role of Superset that may read all data of this database. People need one of Superset's own roles beside it."""
READ_ONLY = "-c default_transaction_read_only=on -c statement_timeout=60s"


def contents(url: str) -> dict[str, str]:
    """The files of this folder as Superset imports them, by their path in an export.

    A data set that has the name of a file in sql/queries gets its statement. The database gets ``url``.
    """
    found = {"metadata.yaml": (FOLDER / "metadata.yaml").read_text("utf-8")}
    for kind in KINDS:
        for file in sorted((FOLDER / kind).rglob("*.yaml")):
            config = yaml.safe_load(file.read_text("utf-8"))
            if kind == "databases":
                config["sqlalchemy_uri"] = url
                if url.startswith("postgresql"):
                    config["extra"]["engine_params"] = {"connect_args": {"options": READ_ONLY}}
            elif kind == "datasets" and (query := QUERIES / f"{config['table_name']}.sql").exists():
                config["sql"] = query.read_text("utf-8").strip()
            found[file.relative_to(FOLDER).as_posix()] = yaml.safe_dump(config, allow_unicode=True, sort_keys=False)
    return found


def address(environment: Mapping[str, str]) -> str:
    """The address of the warehouse for Superset's SQLAlchemy (1.4), which cannot write a SQLite file."""
    file = environment.get("SENTI_DATABASE_URL_FILE")
    url = Path(file).read_text("utf-8").strip() if file else environment["SENTI_DATABASE_URL"]
    driver, rest = url.split("://", 1)
    if driver.startswith("sqlite"):
        return f"sqlite:///file:{quote(rest.removeprefix('/'))}?mode=ro&uri=true"
    return f"postgresql+psycopg2://{rest}"


def provide(password: str, url: str) -> None:
    """Brings Superset's database to its newest schema, and puts the admin and the files of this folder into it."""
    import superset
    from flask_migrate import upgrade
    from superset.app import create_app

    with create_app().app_context():
        from superset import appbuilder, db, security_manager
        from superset.commands.importers.v1.assets import ImportAssetsCommand
        from superset.models.core import Database
        from superset.utils.core import override_user

        upgrade(directory=str(Path(superset.__file__).parent / "migrations"))
        appbuilder.add_permissions(update_perms=True)
        security_manager.sync_role_definitions()
        if admin := security_manager.find_user("admin"):
            security_manager.reset_password(admin.id, password)
        else:
            role = security_manager.find_role("Admin")
            security_manager.add_user("admin", "Senti", "Admin", "admin@localhost", role, password)
        with override_user(security_manager.find_user("admin")):
            ImportAssetsCommand(contents(url)).run()
        readers = security_manager.add_role(READERS)
        for database in db.session.query(Database).filter_by(database_name=DATABASE):
            permission = security_manager.add_permission_view_menu("database_access", database.perm)
            security_manager.add_permission_role(readers, permission)


def main() -> None:
    """Provides, and becomes the web server."""
    url = address(os.environ)
    os.environ["SUPERSET_CONFIG_PATH"] = str(FOLDER / "superset_config.py")
    os.environ["SUPERSET_READS_A_FILE"] = "yes" if url.startswith("sqlite") else "no"
    provide(Path(os.environ["SUPERSET_ADMIN_PASSWORD_FILE"]).read_text("utf-8").strip(), url)
    # One process, because of the SQLite file; people mostly wait for the warehouse.
    server = ["-m", "gunicorn", "--bind", sys.argv[1], "--threads", "16", "--timeout", "120", "--graceful-timeout", "5"]
    os.execv(sys.executable, [sys.executable, *server, "superset.app:create_app()"])  # noqa: S606  our own server


if __name__ == "__main__":
    main()
