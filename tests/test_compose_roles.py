"""The databases and roles of docker-compose.yml on a real PostgreSQL: start-up scripts, addresses and rights."""

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa

from local.compose import load
from local.containers import ROOT
from local.stack import Stack
from senti_tasks.errors import WarehouseError
from senti_tasks.jobs import imports, scoring
from senti_tasks.jobs.operations import erasure, upkeep
from senti_tasks.warehouse import database
from tests.situations import deploy, rows
from tests.stacks import new_variables, odd_variables, redis_server

SECRETS = new_variables()


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """PostgreSQL as its container starts it for a new volume."""
    folder = Path(tempfile.mkdtemp(prefix="senti-stack-"))
    with Stack(folder, SECRETS, only={"postgres"}) as running:
        yield running
    shutil.rmtree(folder)


def file(stack: Stack, service: str, name: str) -> str:
    return (stack.folder / "secrets" / service / name).read_text("utf-8")


def address(stack: Stack, service: str, name: str = "warehouse-url", **changes: str) -> str:
    """The address in a file of a service."""
    return sa.make_url(file(stack, service, name)).set(**changes).render_as_string(hide_password=False)  # type: ignore[arg-type]


def command(stack: Stack, service: str, *arguments: str) -> str:
    """What a command of senti prints in the container of ``service``."""
    done = stack.container(service).run("senti", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(url: str) -> None:
    with pytest.raises(sa.exc.OperationalError, match=r"permission denied for database|authentication failed"):
        sa.create_engine(url, poolclass=sa.NullPool).connect()


def test_each_service_does_its_part_and_nothing_else(
    stack: Stack, bare_home: Path, model_folder: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare_home / "reviews.csv").write_text("text,label\n很好,1\n太差,0\n", "utf-8")
    assert "went from revision none" in command(stack, "init", "migrate")
    assert "2" in command(stack, "importer", "import", str(bare_home / "reviews.csv"), "--json")
    monkeypatch.setenv("SENTI_DATABASE_URL", address(stack, "worker-default"))
    worker = database.connect(address(stack, "worker-default"))
    deploy(worker, model_folder, bare_home)
    (run,) = scoring.open_series("run", "2026-11-04T02:00:00+08:00")
    scoring.plan(run)
    scoring.score_shard(run, 0)
    scoring.audit(run)
    assert scoring.publish(run)["labelled"] == 2
    with pytest.raises(WarehouseError, match="may not do this"):
        imports.import_reviews(bare_home / "reviews.csv", {"text": "text", "label": "label"}, source="another")
    first = str(rows(worker, "reviews")[0]["review_id"])
    with pytest.raises(WarehouseError, match="may not do this"):
        erasure.erase([first], "一封信", "小李")
    assert '"erased": 1' in command(stack, "eraser", "erase", first, "--reason", "一封信", "--json")
    with pytest.raises(WarehouseError, match="may not do this"):
        upkeep.migrate()
    assert len(rows(worker, "reviews")) == 1


def test_airflow_migrates_its_own_database_and_reaches_no_other(stack: Stack) -> None:
    done = stack.container("init").run("airflow", "db", "migrate")
    assert done.returncode == 0, done.stderr
    for other in ("senti", "postgres", "template1"):
        refused(address(stack, "init", "airflow-database", database=other))


@pytest.mark.parametrize("service", ["init", "worker-gpu", "importer", "eraser"])
def test_no_role_of_the_warehouse_reaches_another_database(service: str, stack: Stack) -> None:
    for other in ("airflow", "postgres", "template1"):
        refused(address(stack, service, database=other))
    refused(address(stack, service, password="not-this-one"))  # noqa: S106


def test_the_superuser_is_in_no_container_but_that_of_postgresql(stack: Stack) -> None:
    socket = sa.URL.create(
        *("postgresql+psycopg", "postgres"),
        database="postgres",
        query={"host": str(stack.folder / "postgres"), "port": str(stack.place.ports["postgres"])},
    )
    with sa.create_engine(socket, poolclass=sa.NullPool).connect() as connection:
        powerful = "SELECT rolname FROM pg_roles WHERE rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls"
        assert connection.exec_driver_sql(powerful).scalars().all() == ["postgres"]
    having = {
        name for name, one in stack.containers.items() if SECRETS["POSTGRES_PASSWORD"] in str(one.service.configs)
    }
    assert having == {"postgres"}


def test_no_secret_is_in_an_environment_or_a_command(stack: Stack) -> None:
    for container in stack.containers.values():
        open_to_all = f"{container.environment} {container.service.command} {container.service.health_check}"
        assert [name for name, secret in SECRETS.items() if secret in open_to_all] == [], container.name


def test_a_service_has_the_secrets_of_its_own_role_only_in_files_that_only_its_user_can_read(stack: Stack) -> None:
    roles = {name.partition("_")[0]: SECRETS[name] for name in SECRETS if name.endswith("_PASSWORD")}
    for container in stack.containers.values():
        if container.name == "postgres":
            continue
        text = str(container.service.configs)
        found = {name for name in ("OWNER", "PIPELINE", "IMPORTER", "ERASER") if roles[name] in text}
        expected = {"init": {"OWNER"}, "importer": {"IMPORTER"}, "eraser": {"ERASER"}, "redis": set()}
        assert found == expected.get(container.name, {"PIPELINE"}), container.name
        files = list((stack.folder / "secrets" / container.name).iterdir())
        assert {path.stat().st_mode & 0o777 for path in files} == {0o600}, container.name
    for service in ("importer", "eraser"):
        assert not any(key.startswith("AIRFLOW__") for key in stack.container(service).service.environment), service


def test_superset_reads_the_views_and_nothing_else(stack: Stack) -> None:
    command(stack, "init", "migrate")
    given = load(ROOT / "docker-compose.yml", SECRETS)["superset"].configs["/run/secrets/warehouse-url"]
    url = stack.place.translate(given, "superset")
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM review_sentiment").scalar() is not None
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied for table reviews"):
            connection.exec_driver_sql("SELECT review_text FROM reviews")
    for other in ("airflow", "postgres", "template1"):
        refused(sa.make_url(url).set(database=other).render_as_string(hide_password=False))


@pytest.mark.parametrize("seed", range(int(os.environ.get("SENTI_SECRETS", "10"))))
def test_secrets_of_every_kind_let_their_role_in(seed: int, stack: Stack, tmp_path: Path) -> None:
    """They begin and end with a hyphen, an underscore, a digit. ``SENTI_SECRETS=200`` tries that many."""
    services = load(ROOT / "docker-compose.yml", odd_variables(random.Random(seed)))  # noqa: S311
    script = services["postgres"].configs["/docker-entrypoint-initdb.d/2-create-databases.sql"]
    socket = sa.URL.create(
        *("postgresql+psycopg", "postgres"),
        database="postgres",
        query={"host": str(stack.folder / "postgres"), "port": str(stack.place.ports["postgres"])},
    )
    with sa.create_engine(socket, poolclass=sa.NullPool).begin() as connection:
        for line in script.splitlines():
            if "PASSWORD" in line:
                connection.exec_driver_sql(line.replace("CREATE ROLE", "ALTER ROLE"))
    for service, name in (("worker", "warehouse-url"), ("importer", "warehouse-url"), ("worker", "airflow-database")):
        url = stack.place.translate(services[service].configs[f"/run/secrets/{name}"], service)
        sa.create_engine(url, poolclass=sa.NullPool).connect().close()
    conf = tmp_path / "redis.conf"
    conf.write_text(services["redis"].configs["/run/secrets/redis.conf"], "utf-8")
    with redis_server(tmp_path, conf) as plain:
        broker = services["worker"].configs["/run/secrets/broker"]
        with redis.Redis.from_url(
            broker.replace("redis:6379", plain.removeprefix("redis://").partition("/")[0])
        ) as client:
            assert client.ping()
