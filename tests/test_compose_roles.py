"""The databases and roles of docker-compose.yml on a real PostgreSQL: start-up scripts, addresses and rights."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from senti_tasks.errors import WarehouseError
from senti_tasks.jobs import erasure, imports, scoring, upkeep
from senti_tasks.warehouse import database
from tests.faults.servers import Server
from tests.situations import deploy, rows

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SECRETS = {
    name: f"secret-of_{name}" for name in re.findall(r"^(\w+)=$", (ROOT / ".env.example").read_text(), re.MULTILINE)
}
"""The file .env after somebody has filled in the secrets and changed nothing else."""
VARIABLE = re.compile(r"\$\{(\w+)(?::[-?]([^${}]*))?\}")
HBA = "local all postgres trust\nlocal all all scram-sha-256\n"
"""Who must give a password. The image of PostgreSQL asks everybody who comes over the network."""


def interpolated(value: Any) -> str:
    """``value`` as Docker Compose passes it on: variables of .env or their defaults, the innermost first."""
    text = str(value)
    while VARIABLE.search(text):
        text = VARIABLE.sub(lambda found: SECRETS.get(found[1]) or found[2] or "", text)
    return text.replace("$$", "$")


def environment(service: str) -> dict[str, str]:
    return {name: interpolated(value) for name, value in SERVICES[service]["environment"].items()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server as the container ``postgres`` starts it for a new volume."""
    data = Path(tempfile.mkdtemp(prefix="senti-pg-"))
    started = Server(data)
    started.start()
    folder = tmp_path_factory.mktemp("initdb.d")
    for mount in SERVICES["postgres"]["configs"]:
        source = COMPOSE["configs"][mount["source"]]
        script = interpolated(source["content"]) if "content" in source else (ROOT / source["file"]).read_text("utf-8")
        (folder / Path(mount["target"]).name).write_text(script, "utf-8")
    secrets = environment("postgres")
    host = str(started.url.query["host"])
    # docker_process_sql in docker-entrypoint.sh of the image
    psql = [str(started.programs / "psql"), "-v", "ON_ERROR_STOP=1", "--no-password", "--no-psqlrc", "--host", host]
    for script in sorted(folder.iterdir()):
        command = [*psql, "--username", secrets["POSTGRES_USER"], "--dbname", "postgres", "--file", str(script)]
        done = subprocess.run(command, env={**os.environ, **secrets}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    (Path(host) / "pg_hba.conf").write_text(HBA, "utf-8")
    with sa.create_engine(started.url, poolclass=sa.NullPool).connect() as connection:
        connection.exec_driver_sql("SELECT pg_reload_conf()")
    yield started
    started.stop()
    shutil.rmtree(data)


def address(server: Server, service: str, variable: str = "SENTI_DATABASE_URL", **changes: Any) -> str:
    """The address in a variable of a service, on the socket of ``server``."""
    url = sa.make_url(environment(service)[variable])
    assert url.host == "postgres"
    here = url.set(host=None, query=server.url.query, **changes)
    return here.render_as_string(hide_password=False)


METADATA = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"


def command(server: Server, service: str, home: Path, *arguments: str) -> str:
    """What a command of senti prints in the container of ``service``."""
    settings = {**environment(service), "SENTI_HOME": str(home), "SENTI_DATABASE_URL": address(server, service)}
    done = subprocess.run(
        [sys.executable, "-m", "senti_tasks", *arguments],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        cwd=home,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(url: str) -> None:
    with pytest.raises(sa.exc.OperationalError, match=r"permission denied for database|authentication failed"):
        sa.create_engine(url, poolclass=sa.NullPool).connect()


def test_each_service_does_its_part_and_nothing_else(
    server: Server, bare_home: Path, model_folder: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare_home / "reviews.csv").write_text("text,label\n很好,1\n太差,0\n", "utf-8")
    assert "went from revision none" in command(server, "init", bare_home, "migrate")
    assert "2" in command(server, "importer", bare_home, "import", "reviews.csv", "--json")
    monkeypatch.setenv("SENTI_DATABASE_URL", address(server, "worker"))
    worker = database.connect(address(server, "worker"))
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
    assert '"erased": 1' in command(server, "eraser", bare_home, "erase", first, "--reason", "一封信", "--json")
    with pytest.raises(WarehouseError, match="may not do this"):
        upkeep.migrate()
    assert len(rows(worker, "reviews")) == 1


def test_airflow_migrates_its_own_database_and_reaches_no_other(server: Server, tmp_path: Path) -> None:
    settings = {name: value for name, value in environment("init").items() if name.startswith("AIRFLOW__")}
    settings |= {METADATA: address(server, "init", METADATA), "AIRFLOW_HOME": str(tmp_path)}
    done = subprocess.run(
        [str(Path(sys.executable).with_name("airflow")), "db", "migrate"],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for other in ("senti", "postgres", "template1"):
        refused(address(server, "init", METADATA, database=other))


@pytest.mark.parametrize("service", ["init", "worker", "importer", "eraser"])
def test_no_role_of_the_warehouse_reaches_another_database(service: str, server: Server) -> None:
    for other in ("airflow", "postgres", "template1"):
        refused(address(server, service, database=other))
    refused(address(server, service, password="not-this-one"))  # noqa: S106


def test_the_superuser_is_in_no_container_but_that_of_postgresql(server: Server) -> None:
    with sa.create_engine(server.url, poolclass=sa.NullPool).connect() as connection:
        powerful = "SELECT rolname FROM pg_roles WHERE rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls"
        assert connection.exec_driver_sql(powerful).scalars().all() == ["postgres"]
    having = {name for name, service in SERVICES.items() if "POSTGRES_PASSWORD" in str(service)}
    assert having == {"postgres"}


def test_a_service_has_the_secrets_of_its_own_role_only() -> None:
    for service in set(SERVICES) - {"postgres"}:
        text = str(environment(service))
        found = {name for name in ("OWNER", "PIPELINE", "IMPORTER", "ERASER") if SECRETS[f"{name}_PASSWORD"] in text}
        expected = {"init": {"OWNER"}, "importer": {"IMPORTER"}, "eraser": {"ERASER"}, "redis": set()}
        assert found == expected.get(service, {"PIPELINE"}), service
    for service in ("importer", "eraser"):
        assert not any(name.startswith("AIRFLOW") for name in environment(service)), service
